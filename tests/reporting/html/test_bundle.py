"""ES modules combined into one script."""

from wtal.reporting.html.bundle import bundle

MODULES = {
    "main.js": 'import { double, LIMIT } from "./math.js";\nimport { log } from "./log.js";\nlog(double(LIMIT));\n',
    "math.js": "/**\n * @import x\n */\nexport const LIMIT = 2;\nconst factor = 2;\nexport function double(x) {}\n",
    "log.js": 'import {\n  LIMIT,\n} from "./math.js";\nconst factor = LIMIT;\nexport async function log(x) {}\n',
}


def test_modules_are_combined_after_their_dependencies():
    script = bundle("main.js", MODULES.__getitem__)
    assert "import" not in script and "export" not in script
    order = [script.index(f"const module_{name} =") for name in ("math", "log", "main")]
    assert order == sorted(order) and script.count("const module_math =") == 1
    assert "return { LIMIT, double };" in script and "return { log };" in script
    assert "const { double, LIMIT } = module_math;" in script


def test_modules_of_the_report_are_combined():
    from wtal.reporting.html.render import SCRIPT, _read_static

    script = bundle(SCRIPT, _read_static)
    lines = script.splitlines()
    assert not [line for line in lines if line.startswith(("import ", "export "))]
    assert "</script" not in script
