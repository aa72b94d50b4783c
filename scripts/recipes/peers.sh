#!/usr/bin/env bash
# fairseq's own models: configs/recipes/peers.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" peers "$@"
