#!/usr/bin/env bash
# Makes .venv: Python 3.11, torch, fairseq and this package, in the versions of constraints.txt.
#
#   scripts/setup_env.sh                 (or: make setup)
#   PYTHON=/path/to/python3.11           the interpreter to start from
#   TORCH_INDEX=URL, TORCH=torch==…      another build of torch (CPU, one CUDA or another); remembered until changed
#
# Safe to repeat (nothing to do: well under a second) and to stop at any moment, kill -9 included. What makes it so:
# .venv/setup/unfinished stands while packages are being written, and an environment found with it is made anew;
# .venv/setup/complete holds the key of what was installed, and is written last; fairseq is compiled outside .venv into
# build/wheels, so that those minutes are not lost; and a lock, held by pip too, keeps a second run waiting.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
venv=.venv
state=$venv/setup
log=$venv/setup.log
python=$root/$venv/bin/python
steps=5
log_start=0

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# ---------------------------------------------------------------------------------------------- what is there already

installed_key() {
    { printf '%s\n' "$root"; cat constraints.txt setup.py scripts/setup_env.sh nat_plugin/alignments/csrc/*; } | sha256sum | cut -d ' ' -f 1
}

torch_choice() { # TORCH and TORCH_INDEX as given; where neither is, as they were when .venv was made
    if [[ -z ${TORCH:-}${TORCH_INDEX:-} && -f $state/torch ]]; then
        cat "$state/torch"
    else
        printf '%s\n%s\n' "${TORCH:-torch}" "${TORCH_INDEX:-}"
    fi
}

is_sound() { # ours, whole, made in this folder (an environment cannot be moved), for this torch, and its Python runs
    [[ -f $state/root && ! -e $state/unfinished && $(<"$state/root") == "$root" ]] &&
        [[ $(torch_choice) == "$(cat "$state/torch")" ]] && "$python" -c pass 2>/dev/null
}

is_complete() {
    [[ -f $state/complete && $(<"$state/complete") == "$1" ]] && is_sound
}

take_lock() { # file descriptor 9 stays open in pip as well: one orphaned by kill -9 keeps the lock until it ends
    exec 9>>.venv.lock
    flock -n 9 && return
    say "another set-up is at work in this folder: waiting for it to finish."
    flock 9 || die "cannot lock $root/.venv.lock: make setup on a local disk, or end the other set-up."
}

# --------------------------------------------------------------------------------------- steps, their log and failures

step() { # NUMBER TITLE
    say "[$1/$steps] $2"
    printf '\n===== %s  [%s/%s] %s\n' "$(date '+%F %T')" "$1" "$steps" "$2" >>"$log" || cannot_write
    log_start=$(wc -c <"$log")
}

step_log() { tail -c "+$((log_start + 1))" "$log"; }

show_last_line() { # of what is read, over and over on one line of the terminal
    local line width
    width=$(($(tput cols 2>/dev/null || echo 80) - 8))
    while IFS= read -r line; do printf '\r\033[K      %.*s' "$width" "$line"; done
    printf '\r\033[K'
}

logged() { # COMMAND… with its output in the log, and its last line on the terminal if there is one
    sleep 0.05 # a file system's clock ticks in hundredths of a second, and what is written now is to be newer than the mark
    if [[ -t 1 ]]; then
        "$@" 2>&1 </dev/null | tee -a "$log" | show_last_line
    else
        "$@" >>"$log" 2>&1 </dev/null
    fi
}

disk_full() {
    die "the disk is full: free about 3 GB in $root and 1 GB in ${TMPDIR:-/tmp}, then run the same command again."
}

is_disk_full() {
    step_log 2>/dev/null | grep -qi 'no space left on device\|disk quota exceeded' ||
        [[ $(df -Pk . | awk 'NR == 2 { print $4 }') -lt 20480 ]]
}

cannot_write() { # the shell has said where and why on the line above
    is_disk_full && disk_full
    die "$root cannot be written to: make it writable, then run the same command again."
}

is_network_down() {
    step_log | grep -qiE 'NewConnectionError|NameResolutionError|Max retries exceeded|timed out|ProxyError|SSLError' ||
        step_log | grep -qiE 'Connection (refused|reset|broken|aborted)|Temporary failure in name resolution'
}

forgive_untouched() { # where nothing was written since the mark was set, nothing is half-made
    [[ -n $(find "$venv/lib" "$venv/bin" -newer "$state/unfinished" -print -quit 2>&1) ]] || rm -f "$state/unfinished"
}

failed() {
    printf '      ----- the end of %s:\n' "$log" >&2
    step_log | tail -n 15 | sed 's/^/      /' >&2
    is_disk_full && disk_full
    is_network_down && die "the package index cannot be reached: check the network and HTTPS_PROXY, or name an index" \
        "that can be reached (PIP_INDEX_URL), then run the same command again."
    step_log | grep -q 'No matching distribution found\|ResolutionImpossible' &&
        die "the package index lacks a version that constraints.txt names, or has it not for this machine: name one that" \
            "has it (PIP_INDEX_URL, for torch TORCH_INDEX), see docs/setup.md, and run the same command again."
    step_log | grep -q 'Killed signal terminated' &&
        die "the compiler was killed, most likely for want of memory: free about 2 GB of it and run the same command again."
    die "this step failed (the whole story is in $log): mend what it says and run the same command again."
}

stopped() {
    trap - INT TERM HUP
    forgive_untouched
    printf '\nstopped: run the same command again to go on.\n' >&2
    exit 130
}

# ------------------------------------------------------------------------------------------------------ the steps

find_python() { # sets base_python: not one of an activated environment, which may be the .venv to be made anew
    local candidates=(python3.11 python3 python) candidate
    [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            base_python=$("$candidate" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
            return
        fi
    done
    die "no Python 3.11 was found (tried: ${candidates[*]}): install it (Debian, Ubuntu: apt install python3.11" \
        "python3.11-venv python3.11-dev) or name it, as in: make setup PYTHON=/path/to/python3.11"
}

check_machine() {
    "$base_python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$base_python lacks the module venv or ensurepip: install it (Debian, Ubuntu: apt install python3.11-venv)."
    compgen -G 'build/wheels/*/fairseq*.whl' >/dev/null && return # compiled already
    local compiler=${CXX:-g++} headers
    # shellcheck disable=SC2086  # CXX may hold options
    $compiler --version >/dev/null 2>&1 ||
        die "no C++ compiler was found (tried: $compiler), fairseq needs one: install it (Debian, Ubuntu: apt install g++)" \
            "or name it with CXX=…"
    headers=$("$base_python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    # shellcheck disable=SC2086
    $compiler -x c++ -fsyntax-only -I "$headers" - <<<'#include <Python.h>' 2>/dev/null ||
        die "the headers of $base_python are missing (no Python.h in $headers): install them (Debian, Ubuntu:" \
            "apt install python3.11-dev)."
}

discard() { # by a rename first, so that no half-deleted environment is ever taken for one
    [[ -e $venv || -L $venv ]] && mv -T "$venv" ".venv.trash.$$"
    rm -rf .venv.trash.* .venv.new.*
}

make_venv() {
    local choice new=.venv.new.$$
    choice=$(torch_choice)
    if [[ -e $venv || -L $venv ]]; then
        [[ -f $state/root ]] || die "$root/$venv exists but was not made by this script: move it away or delete it," \
            "then run the same command again."
        say "the present $venv is unfinished, was moved here or has another torch: it is made anew."
    fi
    discard
    { mkdir -p "$new/setup" && printf '%s\n' "$choice" >"$new/setup/torch" && : >"$new/setup/unfinished" &&
        printf '%s\n' "$root" >"$new/setup/root" && mv -T "$new" "$venv"; } || cannot_write
    step 1 "virtual environment in $venv, from $base_python"
    logged "$base_python" -m venv --prompt nat_plugin "$venv" || failed
    rm "$state/unfinished"
}

pip_install() {
    : >"$state/unfinished" || cannot_write
    logged "$python" -m pip install --progress-bar off -c constraints.txt "$@" || {
        forgive_untouched
        failed
    }
    rm "$state/unfinished"
}

install_torch() {
    local choice index=()
    mapfile -t choice <"$state/torch"
    [[ -n ${choice[1]:-} ]] && index=(--extra-index-url "${choice[1]}")
    step 2 "${choice[0]}, numpy and the build tools (200 MB for a CPU, several GB with CUDA: TORCH_INDEX, docs/setup.md)"
    pip_install "${index[@]}" "${choice[0]}" numpy cython setuptools wheel
}

# Compiled against one torch, so kept and installed by its version; never from pip's own cache, whose wheel may have been
# compiled against another. --no-build-isolation, because isolation fetches the newest torch, with CUDA, to compile against.
# --no-deps, because fairseq declares torchaudio, which nothing here uses and which does not import beside a CPU torch.
# CUDA_HOME would make it compile kernels that nothing here uses.
install_fairseq() {
    local torch_version wheels new
    torch_version=$("$python" -c 'from importlib.metadata import version; print(version("torch"))')
    wheels=build/wheels/$(grep '^fairseq-fixed==' constraints.txt)-torch-$torch_version
    new=$wheels/.new.$$
    if ! compgen -G "$wheels/fairseq*.whl" >/dev/null; then
        step 3 "fairseq, compiled here (2 to 5 minutes; to watch: tail -f $log)"
        rm -rf "$wheels"
        mkdir -p "$new" || cannot_write
        logged env -u CUDA_HOME -u READTHEDOCS "$python" -m pip wheel -v --progress-bar off --no-cache-dir --no-deps \
            --no-build-isolation -c constraints.txt -w "$new" fairseq-fixed || failed
        mv "$new"/*.whl "$wheels/"
        rm -rf "$new"
    else
        step 3 "fairseq, from $wheels"
    fi
    [[ -f $state/fairseq && $(<"$state/fairseq") == "$wheels" ]] && return
    rm -f "$state/fairseq"
    pip_install --no-deps --force-reinstall "$wheels"/fairseq*.whl
    printf '%s\n' "$wheels" >"$state/fairseq" || cannot_write
}

install_ourselves() {
    step 4 "nat_plugin (editable), what it needs, and the tools for tests"
    pip_install --no-build-isolation -e '.[dev,ja,lm,onnx,plots,slurm,zh]'
}

verify() {
    step 5 "trying whether everything imports"
    logged "$python" -P -c '
import platform
import fairseq.data.data_utils_fast, fairseq.libbleu, fairseq.libnat, fairseq_cli.train, torch, nat_plugin
from importlib.metadata import version
print(f"ready: Python {platform.python_version()}, torch {torch.__version__}, fairseq-fixed", version("fairseq-fixed"))
' || {
        : >"$state/unfinished" # what does not import is not mended in place
        failed
    }
    step_log | grep '^ready: '
}

main() {
    local key
    key=$(installed_key)
    if is_complete "$key"; then
        say "$venv is up to date."
        return
    fi
    take_lock
    if is_complete "$key"; then # made by the one that was waited for
        say "$venv is up to date."
        return
    fi
    # A user's own settings that would lead pip elsewhere or have it ask questions.
    unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
    trap stopped INT TERM HUP

    find_python
    check_machine
    if is_sound; then
        if [[ -f $state/complete ]]; then
            say "constraints.txt, setup.py, the C++ sources or this script have changed: $venv is brought up to date."
            rm -f "$state/complete"
        else
            say "an earlier set-up was stopped: it goes on in the same $venv."
        fi
    else
        make_venv
    fi
    install_torch
    install_fairseq
    install_ourselves
    verify
    { printf '%s\n' "$key" >"$state/complete.new" && mv "$state/complete.new" "$state/complete"; } || cannot_write
}

main
