/** The script that installs the command line (docs/guide/cli.md, "Installing"). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type PinnedNode, renderBootstrap } from "./bootstrap.ts";
import { ROOT } from "./project.ts";

/** Parts of the agent's script that both share, since finding and fetching Node is the same work. */
const SHARED: Readonly<Record<string, RegExp>> = {
  FUNCTIONS: /^say\(\) \{[\s\S]*?^fetch_node\(\) \{[\s\S]*?^\}$/m,
  MACHINE: /^case \$\(uname -m\) in[\s\S]*?^esac$/m,
};

/**
 * The script, complete but for `@ORIGIN@`, which the Worker fills in.
 *
 * @param registry address of the npm registry that Node's tarballs come from
 */
export function renderInstaller(registry: string, node?: PinnedNode): string {
  const bootstrap = renderBootstrap(registry, node);
  const version = /^version=.*$/m.exec(bootstrap)?.[0] ?? "";
  const template = readFileSync(join(ROOT, "cli/install.sh"), "utf8");
  return template
    .replace(/^version=.*$/m, () => version)
    .replace(/^@([A-Z]+)@$/gm, (whole, name: string) => {
      const part = SHARED[name]?.exec(bootstrap)?.[0];
      if (part === undefined) throw new Error(`agent/bootstrap.sh has no part for ${whole}`);
      return part;
    });
}
