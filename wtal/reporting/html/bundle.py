"""Combines ES modules into one script, so that the report is a single file that opens from disk.

Every module becomes a function that returns its exports. This supports what the modules of this package use: imports
and exports by name, each import in a statement of its own, exports as part of a declaration.
"""

import re
from collections.abc import Callable

IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
JSDOC = re.compile(r"^ */\*\*(?:(?!\*/)[\s\S])*\*/\n", re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """Combine a module with all modules that it imports.

    Args:
        entry: The file name of the module to run.
        read: Returns the text of a module.

    Returns:
        A script in strict mode, without imports, exports and JSDoc comments.
    """
    scripts: dict[str, str] = {}

    def add(name: str) -> str:
        """Add a module after the modules that it imports. Returns the name of the variable with its exports."""
        variable = re.sub(r"\W", "_", f"module_{name.removesuffix('.js')}")
        if name not in scripts:
            text = JSDOC.sub("", read(name))
            body = IMPORT.sub(lambda match: f"const {{{match[1]}}} = {add(match[2])};\n", text)
            exports = ", ".join(EXPORT.findall(text))
            scripts[name] = f"const {variable} = (() => {{\n{EXPORT.sub('', body)}return {{ {exports} }};\n}})();\n"
        return variable

    add(entry)
    return '"use strict";\n' + "".join(scripts.values())
