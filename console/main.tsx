/** The console: static files of the Worker, on the public API alone. */
import { render } from "preact";
import { App } from "./app.tsx";
import { hearKeys } from "./lib/keys.ts";
import { followLinks } from "./lib/router.ts";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/pages.css";

followLinks();
hearKeys();
const root = document.getElementById("console");
if (root === null) throw new Error("The page has no place for the console");
render(<App />, root);
