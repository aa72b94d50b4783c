#!/usr/bin/env bash
# Huang et al. 2022, Tables 3 and 8: configs/recipes/mple_table3.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_table3 "$@"
