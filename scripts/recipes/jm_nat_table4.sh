#!/usr/bin/env bash
# Guo et al. 2020, Table 4: configs/recipes/jm_nat_table4.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" jm_nat_table4 "$@"
