/** Lengths of functions as a reader sees them: comments and blank lines count, which a linter leaves out. */
import ts from "typescript";

export interface FunctionLength {
  /** Empty without one. */
  name: string;
  /** 1-based; of the whole function, from its first line to its last. */
  line: number;
  lines: number;
}

/** Measures every function, method and arrow with a block body. One that only returns a list is left out. */
export function functionLengths(source: ts.SourceFile): FunctionLength[] {
  const lengths: FunctionLength[] = [];
  const lineAt = (position: number) => source.getLineAndCharacterOfPosition(position).line + 1;
  const visit = (node: ts.Node, nameAround: string): void => {
    const name = nameOf(node) ?? nameAround;
    if (isFunctionWithBlock(node) && !isList(node.body)) {
      const line = lineAt(node.getStart(source));
      lengths.push({ name, line, lines: lineAt(node.end) - line + 1 });
    }
    const givesName = ts.isVariableDeclaration(node) || ts.isPropertyAssignment(node);
    ts.forEachChild(node, (child) => visit(child, givesName ? name : ""));
  };
  visit(source, "");
  return lengths;
}

function isFunctionWithBlock(
  node: ts.Node,
): node is ts.FunctionLikeDeclaration & { readonly body: ts.Block } {
  return (
    ts.isFunctionLike(node) && "body" in node && node.body !== undefined && ts.isBlock(node.body)
  );
}

/** A body that returns an array or an object literal and does nothing else, like a list of columns. */
function isList({ statements }: ts.Block): boolean {
  const [first] = statements;
  if (statements.length !== 1 || first === undefined) return false;
  if (!ts.isReturnStatement(first) || first.expression === undefined) return false;
  let value = first.expression;
  while (
    ts.isAsExpression(value) ||
    ts.isSatisfiesExpression(value) ||
    ts.isParenthesizedExpression(value)
  ) {
    value = value.expression;
  }
  return ts.isArrayLiteralExpression(value) || ts.isObjectLiteralExpression(value);
}

function nameOf(node: ts.Node): string | undefined {
  if (ts.isConstructorDeclaration(node)) return "constructor";
  const isNamed =
    ts.isFunctionLike(node) || ts.isVariableDeclaration(node) || ts.isPropertyAssignment(node);
  const name = isNamed ? node.name : undefined;
  return name !== undefined && (ts.isIdentifier(name) || ts.isPrivateIdentifier(name))
    ? name.text
    : undefined;
}
