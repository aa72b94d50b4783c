#!/usr/bin/env bash
# A small budget: configs/recipes/encoder_from_teacher.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" encoder_from_teacher "$@"
