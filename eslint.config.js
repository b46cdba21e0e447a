import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["*", "!wtal"] },
  js.configs.recommended,
  {
    files: ["wtal/**/static/*.js"],
    languageOptions: { globals: globals.browser },
    rules: {
      "max-len": ["error", { code: 120 }],
      eqeqeq: "error",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
