#!/usr/bin/env bash
# A small budget: configs/recipes/combinations_tuned.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" combinations_tuned "$@"
