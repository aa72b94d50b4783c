#!/usr/bin/env bash
# Huang et al. 2022, Table 5: configs/recipes/mple_table5.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_table5 "$@"
