#!/usr/bin/env bash
# Huang et al. 2022, Table 4: configs/recipes/mple_table4.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_table4 "$@"
