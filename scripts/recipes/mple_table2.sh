#!/usr/bin/env bash
# Huang et al. 2022, Tables 2 and 7: configs/recipes/mple_table2.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_table2 "$@"
