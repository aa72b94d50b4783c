#!/usr/bin/env bash
# Huang et al. 2022, Table 9: configs/recipes/mple_table9.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_table9 "$@"
