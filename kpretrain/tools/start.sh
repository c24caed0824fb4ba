#!/bin/sh
# Sets the course up from this folder alone, once. Then opens it, or runs the command that is given to this script.
set -eu
cd "$(dirname "$0")"
export PYTHONPATH="$PWD/course" PATH="$PWD/venv/bin:$PATH" KPRETRAIN_OFFLINE=1
if [ ! -f venv/ready ]; then
  for python in python{{ version }} python3 python none; do
    if "$python" -c "{{ fits }}" 2>/dev/null; then break; fi
  done
  if [ "$python" = none ]; then echo "This needs Python {{ version }} on {{ machine }}."; exit 1; fi
  echo "Setting up, once. This takes some minutes and about 3 GB of disk."
  rm -rf venv
  "$python" -m venv venv
  # --no-compile: most of what it would compile is never used
  python -m pip --isolated install --quiet --no-compile --no-index --find-links wheels -r course/requirements.txt
  touch venv/ready
  python -m kpretrain doctor
fi
cd course/notebooks
if [ $# = 0 ]; then set -- python -m jupyterlab; fi
exec "$@"
