#!/usr/bin/env bash
# Ghazvininejad et al. 2020, Table 5: configs/recipes/axe_table5.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" axe_table5 "$@"
