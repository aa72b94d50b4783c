#!/usr/bin/env bash
# Ghazvininejad et al. 2020, Table 2: configs/recipes/axe_table2.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" axe_table2 "$@"
