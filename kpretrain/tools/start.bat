@echo off
rem Sets the course up from this folder alone, once. Then opens it, or runs the command that is given to this script.
setlocal
cd /d "%~dp0"
set "PYTHONPATH=%CD%\course"
set "PATH=%CD%\venv\Scripts;%PATH%"
set KPRETRAIN_OFFLINE=1
if exist venv\ready goto open
set "base=py -{{ version }}"
%base% -c "{{ fits }}" 2>nul || set base=python
%base% -c "{{ fits }}" 2>nul || (echo This needs Python {{ version }} on {{ machine }}. & goto failed)
echo Setting up, once. This takes some minutes and about 3 GB of disk.
if exist venv rmdir /s /q venv
%base% -m venv venv || goto failed
python -m pip --isolated install --quiet --no-compile --no-index --find-links wheels -r course\requirements.txt || goto failed
type nul > venv\ready
python -m kpretrain doctor || goto failed
:open
cd course\notebooks
if "%~1"=="" (python -m jupyterlab) else (%*)
exit /b
:failed
pause
exit /b 1
