#!/usr/bin/env bash
# The linters and the tests, in the environment that `tools/bootstrap.sh dev` made.
#
# Tests that need no display come first, in processes where Qt is not loaded at all; those that do
# (the marker `gui`) run in others, each on a virtual display of its own, as two windows on one would
# take the focus from each other.  The system packages for that are installed where this user may;
# otherwise these tests are left out, and the last line says so.
#
# There are as many processes as cores, four at most; WORKERS says otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '==> %s\n' "$*"; }

packages=(
    xvfb xauth
    libegl1 libgl1 libopengl0 libglx-mesa0 libgl1-mesa-dri
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
    libxcb-render-util0 libxcb-shape0 libxcb-xfixes0 libxcb-xinerama0 libxcb-xkb1 libxcb-glx0
    libdbus-1-3 libfontconfig1 libglib2.0-0 libgssapi-krb5-2
)
libraries=(
    libEGL.so.1 libGL.so.1 libOpenGL.so.0 libGLX_mesa.so.0
    libxkbcommon-x11.so.0 libxcb-cursor.so.0 libxcb-icccm.so.4 libxcb-image.so.0
    libxcb-keysyms.so.1 libxcb-randr.so.0 libxcb-render-util.so.0 libxcb-shape.so.0
    libxcb-xfixes.so.0 libxcb-xinerama.so.0 libxcb-xkb.so.1 libxcb-glx.so.0
    libdbus-1.so.3 libfontconfig.so.1 libglib-2.0.so.0 libgssapi_krb5.so.2
)

# Prints what the virtual display or Qt would miss.
missing() {
    local name known
    for name in Xvfb xvfb-run xauth; do
        command -v "$name" >/dev/null || echo "$name"
    done
    known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
    for name in "${libraries[@]}"; do
        [[ $known == *"$name "* ]] || echo "$name"
    done
}

install_packages() {
    local become=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
        become=(sudo -n)
    fi
    local apt=(${become[@]+"${become[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    local install=("${apt[@]}" install --yes --no-install-recommends "${packages[@]}")
    "${install[@]}" >/dev/null 2>&1 && return
    say "fetching the list of system packages"
    # Whether the lists that could be fetched are enough, the installation will tell.
    "${apt[@]}" update >/dev/null || true
    "${install[@]}" >/dev/null
}

gui=yes
if [ -n "$(missing)" ]; then
    say "installing the system packages for Qt and a virtual display; missing:" $(missing)
    if ! install_packages || [ -n "$(missing)" ]; then
        gui=no
        say "they are not there; going on WITHOUT the GUI tests. To have them, run:"
        printf '    sudo apt-get update && sudo apt-get install --no-install-recommends %s\n' "${packages[*]}"
    fi
fi

tools/lint.sh

cores=$(nproc)
workers=${WORKERS:-$((cores < 4 ? cores : 4))}
export OMP_NUM_THREADS=1 # of each process: more would wait for each other
say "pytest: the tests that need no display, in $workers processes"
.venv/bin/python -m pytest -p no:pytest-qt --numprocesses "$workers" --dist worksteal --timeout 600 \
    -m "not gui and not slow and not gpu"

if [ $gui = no ]; then
    say "all of that passed, WITHOUT the GUI tests (see above)"
    exit 0
fi
say "pytest: the GUI tests, in $workers processes, each on a virtual display"
code=0
displayed="popen//python=xvfb-run -a -s '-screen 0 1366x768x24' .venv/bin/python"
QT_API=pyqt6 PYTEST_QT_API=pyqt6 .venv/bin/python -m pytest --tx "$workers*$displayed" \
    --dist worksteal --timeout 600 -m "gui and not slow and not gpu" || code=$?
case $code in
0) ;;
5) say "there are no GUI tests" ;; # pytest found nothing to run
*) exit "$code" ;;
esac
say "everything passed"
