import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type Channel, FRAME, LinkError } from "./channel.ts";

/** The facts that both sides of a greeting must agree on. */
export interface Identity {
  jobId: string;
  /** Of the step in the job's sequence. */
  position: number;
  /** The step's shared secret. */
  key: Buffer;
  /** This node's rank. */
  rank: number;
}

const VERSION = 1;
const NONCE_BYTES = 32;
const HELLO_BYTES = 5 + NONCE_BYTES;
const SUPERSEDED = "another connection of the two nodes is used";

interface Transcript {
  connector: number;
  acceptor: number;
  connectorNonce: Buffer;
  acceptorNonce: Buffer;
}

/**
 * The greeting, all within the caller's time bound:
 *
 *     connector → acceptor   hello      version, both ranks, connector's nonce
 *     acceptor → connector   challenge  acceptor's nonce
 *     connector → acceptor   proof      HMAC as connector
 *     acceptor → connector   proof      HMAC as acceptor
 *
 * The acceptor proves itself last, so that a stranger gets nothing from it but a fresh nonce. Fresh
 * nonces of both sides make a recorded greeting worthless, the role in the HMAC a reflected one. It
 * proves who is there; what follows is measurement traffic and is not encrypted.
 *
 * @throws LinkError
 */
export async function greetAsConnector(
  channel: Channel,
  self: Identity,
  acceptor: number,
  withinMs: number,
  /** Asked before this node proves itself: another connection may have come meanwhile. */
  mayProve: () => boolean = () => true,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  const connectorNonce = randomBytes(NONCE_BYTES);
  const hello = Buffer.alloc(HELLO_BYTES);
  hello.writeUInt8(VERSION, 0);
  hello.writeUInt16BE(self.rank, 1);
  hello.writeUInt16BE(acceptor, 3);
  connectorNonce.copy(hello, 5);
  channel.send(FRAME.hello, hello);

  const acceptorNonce = await expectFrame(channel, FRAME.challenge, NONCE_BYTES, deadline);
  const transcript = { connector: self.rank, acceptor, connectorNonce, acceptorNonce };
  if (!mayProve()) throw new LinkError(SUPERSEDED);
  channel.send(FRAME.proof, prove(self, "connector", transcript));
  const proof = await expectFrame(channel, FRAME.proof, 32, deadline);
  if (!timingSafeEqual(proof, prove(self, "acceptor", transcript))) {
    throw new LinkError(`node ${acceptor} did not prove that it belongs to this step`);
  }
  channel.trust();
}

/**
 * The other side of `greetAsConnector`.
 *
 * @returns the connector's rank
 * @throws LinkError
 */
export async function greetAsAcceptor(
  channel: Channel,
  self: Identity,
  options: {
    /** Whether a node of this rank has reason to connect here. */
    isExpected: (rank: number) => boolean;
    /** Called once that node has proved itself; false if the connection does not count. */
    admit: (rank: number) => boolean;
    withinMs: number;
  },
): Promise<number> {
  const { isExpected, admit, withinMs } = options;
  const deadline = performance.now() + withinMs;
  const hello = await expectFrame(channel, FRAME.hello, HELLO_BYTES, deadline);
  const connector = hello.readUInt16BE(1);
  const forMe = hello.readUInt8(0) === VERSION && hello.readUInt16BE(3) === self.rank;
  if (!forMe || !isExpected(connector)) throw new LinkError("the greeting is not for this node");

  const acceptorNonce = randomBytes(NONCE_BYTES);
  const connectorNonce = hello.subarray(5);
  const transcript = { connector, acceptor: self.rank, connectorNonce, acceptorNonce };
  channel.send(FRAME.challenge, acceptorNonce);
  const proof = await expectFrame(channel, FRAME.proof, 32, deadline);
  if (!timingSafeEqual(proof, prove(self, "connector", transcript))) {
    throw new LinkError(`someone claimed to be node ${connector} without the key`);
  }
  if (!admit(connector)) throw new LinkError(SUPERSEDED);
  channel.send(FRAME.proof, prove(self, "acceptor", transcript));
  channel.trust();
  return connector;
}

function prove(self: Identity, role: "connector" | "acceptor", transcript: Transcript): Buffer {
  // A JSON array is unambiguous: no two different lists of fields share a text.
  const text = JSON.stringify([
    "assay cluster_network",
    VERSION,
    role,
    self.jobId,
    self.position,
    transcript.connector,
    transcript.acceptor,
    transcript.connectorNonce.toString("hex"),
    transcript.acceptorNonce.toString("hex"),
  ]);
  return createHmac("sha256", self.key).update(text).digest();
}

async function expectFrame(
  channel: Channel,
  type: number,
  bytes: number,
  deadline: number,
): Promise<Buffer> {
  const frame = await channel.next(Math.max(0, deadline - performance.now()));
  if (frame === null) throw new LinkError("the connection was accepted, but nobody answered");
  if (frame.type !== type || frame.payload.length !== bytes) {
    throw new LinkError("the greeting broke the protocol");
  }
  return frame.payload;
}
