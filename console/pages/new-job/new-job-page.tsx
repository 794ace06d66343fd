export function NewJobPage(_: Record<string, unknown>) { return <h1>x</h1>; }
