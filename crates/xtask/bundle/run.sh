#!/bin/sh
# Measures unmix on this machine; ./run.sh --help lists the options. README.txt says what is needed.
case $0 in */*) cd "${0%/*}" || exit 1 ;; esac
for python in "$PYTHON" python3 python; do
    if [ -n "$python" ] && command -v "$python" >/dev/null 2>&1; then
        exec "$python" -B run.py "$@"
    fi
done
echo "run.sh: there is no Python here, so nothing is timed or recorded; set PYTHON to one, or install python3." >&2
echo "The devices alone:" >&2
LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$PWD/lib" ./unmix doctor
exit 1
