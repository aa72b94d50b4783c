#!/usr/bin/env bash
# Gu & Kong 2021, Table 6: configs/recipes/gu_kong_table6.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" gu_kong_table6 "$@"
