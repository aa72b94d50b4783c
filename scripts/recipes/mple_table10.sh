#!/usr/bin/env bash
# Huang et al. 2022, Table 10: configs/recipes/mple_table10.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_table10 "$@"
