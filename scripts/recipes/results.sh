#!/usr/bin/env bash
# All tables: configs/recipes/results.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" results "$@"
