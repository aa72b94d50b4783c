#!/usr/bin/env bash
# Ghazvininejad et al. 2020, Table 8: configs/recipes/axe_table8.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" axe_table8 "$@"
