#!/usr/bin/env bash
# Ghazvininejad et al. 2020, Table 3: configs/recipes/axe_table3.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" axe_table3 "$@"
