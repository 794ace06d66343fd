import { type TaskTokenFacts, taskTokenOf } from "../identity/job-token.ts";
import type { Tokens } from "../identity/tokens.ts";
import type { TaskReply } from "./wire/protocol.ts";
import type { JoinedTaskWire, TaskReplyWire } from "./wire/task.ts";

/** The task of a node that has joined or claimed, with its token. The object does not know tokens, only epochs. */
export function joinedTaskOf(
  tokens: Tokens,
  facts: TaskTokenFacts,
  { task: text, epoch = null }: TaskReply,
): JoinedTaskWire {
  const task: TaskReplyWire = JSON.parse(text);
  const taskId = Number(task.id);
  return {
    ...task,
    task_token: epoch === null ? null : taskTokenOf(tokens, facts, { taskId, epoch }),
  };
}
