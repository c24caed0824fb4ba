"""JupyterLab in a headless browser, as a reader meets it: the server, a notebook in it, and what is wrong with that."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# What a library says of itself when it starts, or of the code that calls it: a learner cannot tell it from a fault.
_NOISE = re.compile(r"absl::|cpu_feature_guard|cudart|cuInit|oneDNN|WARNING|Warning:|^[IWE]\d{4} ")
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are on the page, so that they can be measured
}


@contextlib.contextmanager
def chromium():
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # which root needs
        yield browser
        browser.close()


@contextlib.contextmanager
def jupyter(folder, **variables):
    """JupyterLab on a copy of the notebooks in an empty folder, with no setting of the user's; gives its address."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    for name, settings in _SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    environment = os.environ | {name: str(folder / name.lower()) for name in names}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "PYTHONPATH": str(ROOT)} | variables
    environment.pop("MPLBACKEND", None)
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token="]
    options += ["--LabApp.expose_app_in_browser=True", str(folder / "notebooks")]
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 300
        while not (found := [*(folder / "jupyter_runtime_dir").glob("jpserver-*.json")]):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"JupyterLab did not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        yield json.loads(found[0].read_text())["url"]
    finally:
        server.terminate()
        server.wait()


class Notebook:
    """A notebook that is open in JupyterLab: `file` is its name, `page` the browser's page."""

    def __init__(self, page, address, file):
        self.page, self.file = page, file
        page.set_default_timeout(300_000)  # ms
        page.goto(f"{address}lab/tree/{file}")
        self.wait_until_open(file)

    def wait_until_open(self, file):
        """Wait until this file is in front, and where it is a notebook, its kernel is idle."""
        there = f"window.jupyterapp?.shell.currentWidget?.context?.path === {json.dumps(file)}"
        idle = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
        self.page.wait_for_function(f"{there} && {idle if file.endswith('.ipynb') else 'true'}")

    def _ask(self, expression, *arguments):
        """What JavaScript says of the open notebook: `cells` are its cells, `model` what would be saved."""
        start = "const panel = jupyterapp.shell.currentWidget, cells = panel.content.widgets, model = panel.model;"
        return self.page.evaluate(f"(given) => {{ {start} return {expression}; }}", arguments)

    def saved(self):
        """The notebook as it would be saved now, a dict."""
        return json.loads(self._ask("JSON.stringify(model.toJSON())"))

    def cells(self):
        """The code cells, as they would be saved."""
        return [cell for cell in self.saved()["cells"] if cell["cell_type"] == "code"]

    def menu(self, *names):
        """Choose an entry from the menus."""
        for name in names:
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def shut_down(self):
        """End the kernel, and wait until it has ended."""
        self.menu("Kernel", "Shut Down Kernel")
        self.page.wait_for_function("!jupyterapp.shell.currentWidget.sessionContext.session?.kernel")

    def run_all(self, seconds=1800):
        """Clear all outputs, run all cells and wait until they have run, or one has failed."""
        self.menu("Edit", "Clear Outputs of All Cells")
        self.menu("Run", "Run All Cells")
        ran = "code.every((cell) => cell.executionCount !== null || !cell.sharedModel.getSource().trim())"
        failed = "code.some((cell) => cell.outputs.toJSON().some((output) => output.output_type === 'error'))"
        self.page.wait_for_function(
            f"""() => {{
                const panel = jupyterapp.shell.currentWidget;
                const code = [...panel.model.cells].filter((cell) => cell.type === "code");
                return panel.sessionContext.session.kernel.status === "idle" && ({ran} || {failed});
            }}""",
            timeout=1000 * seconds,
            polling=500,
        )

    def edit(self, old, new):
        """Type `new` in place of `old` in the one cell that has it, run the cell, and return what it prints."""
        (place,) = [k for k, cell in enumerate(self.saved()["cells"]) if old in "".join(cell["source"])]
        source = self._ask("cells[given[0]].model.sharedModel.getSource()", place)
        cell = self.page.locator(".jp-Notebook-cell").nth(place)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source.replace(old, new))
        before = self._ask("cells[given[0]].model.executionCount", place)
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            "([place, before]) => jupyterapp.shell.currentWidget.content.widgets[place].model.executionCount > before",
            arg=[place, before],
        )
        self.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
        return printed(self.saved()["cells"][place])

    def follow(self, text, file):
        """Click a link in what is open, and wait until it has opened this file."""
        shown = self.page.locator(".jp-Notebook a:visible, .jp-MarkdownViewer a:visible")
        shown.filter(has_text=re.compile(f"^{re.escape(text)}$")).first.click()
        self.wait_until_open(file)

    def complaints(self):
        """What is wrong with what is shown, a line each."""
        found = [f"a cell failed: {output['ename']}: {output['evalue']}" for output in self._outputs("error")]
        found += [f"on stderr: {''.join(output['text'])[:300]}" for output in self._outputs("stream", name="stderr")]
        for cell in self.cells():
            found += [f"noise: {line}" for line in printed(cell).splitlines() if _NOISE.search(line)]
        measured = self.page.evaluate(_CUT)
        found += [f"cut, {kind}, {wide} px in {room}: {text}" for kind, wide, room, text in measured["cut"]]
        found += [f"a formula: {text}" for text in measured["formulas"]]
        found += [f"a dialog: {text}" for text in measured["dialogs"]]
        if measured["columns"] < 100:
            found.append(f"only {measured['columns']} columns of code fit")
        return found

    def _outputs(self, kind, **having):
        outputs = [output for cell in self.cells() for output in cell["outputs"] if output["output_type"] == kind]
        return [output for output in outputs if having.items() <= output.items()]


_CUT = """() => {
    const text = (node) => (node.innerText || node.outerHTML).trim().slice(0, 100);
    const boxes = ".jp-CodeCell .cm-scroller, .jp-OutputArea-output, .jp-OutputArea-output pre, .jp-RenderedMarkdown";
    const cut = [...document.querySelectorAll(".jp-Notebook :is(" + boxes + ")")]
        .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1)
        .map((node) => [node.className, node.scrollWidth, node.clientWidth, text(node)]);
    const panel = jupyterapp.shell.currentWidget, right = panel.node.getBoundingClientRect().right;
    for (const node of panel.node.querySelectorAll(".jp-OutputArea img"))
        if (!node.naturalWidth || node.getBoundingClientRect().right > right)
            cut.push(["picture", node.getBoundingClientRect().right, right, node.alt]);
    for (const node of panel.node.querySelectorAll(".jp-mod-outputsScrolled"))
        cut.push(["long output", node.scrollHeight, node.clientHeight, text(node)]);
    const editor = panel.content.widgets.find((cell) => cell.model.type === "code").editor.editor;
    return {
        cut,
        columns: Math.floor(editor.contentDOM.clientWidth / editor.defaultCharacterWidth),
        formulas: [...document.querySelectorAll("mjx-merror")].map(text),
        dialogs: [...document.querySelectorAll(".jp-Dialog")].map(text),
    };
}"""


def printed(cell):
    """What a cell shows as text."""
    parts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"])
    return "\n".join("".join(part) for part in parts)
