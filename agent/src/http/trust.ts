import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from "node:tls";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, or what is wrong with it. */
export function readCertificates(
  file: string,
): { ok: true; certificates: string[] } | { ok: false; message: string } {
  try {
    const certificates = readFileSync(file, "utf8").match(CERTIFICATE) ?? [];
    if (certificates.length === 0) return { ok: false, message: `${file} has no PEM certificate` };
    for (const certificate of certificates) new X509Certificate(certificate);
    return { ok: true, certificates };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ok: false, message: `${file} cannot be read as certificates: ${why}` };
  }
}

/** Node's roots, those of NODE_EXTRA_CA_CERTS among them, and more. */
export async function rootsWith(
  more: readonly string[],
  env: Record<string, string | undefined>,
): Promise<string[]> {
  const tls = await import("node:tls");
  // Since 22.15. Before, Node tells only the roots that it brings along.
  if (typeof tls.getCACertificates === "function") {
    return [...tls.getCACertificates("default"), ...more];
  }
  const extra = env.NODE_EXTRA_CA_CERTS ? readCertificates(env.NODE_EXTRA_CA_CERTS) : null;
  return [...tls.rootCertificates, ...(extra?.ok ? extra.certificates : []), ...more];
}

/** Why a server's certificate was not accepted, and which one it is. */
export function distrustOf(socket: TLSSocket, host: string, now: number): string {
  const chain = chainOf(socket);
  const [leaf] = chain;
  const top = chain.at(-1);
  const code = String(socket.authorizationError);
  if (leaf === undefined || top === undefined) return `the certificate is not trusted (${code})`;
  const clock = `and this machine's clock says ${utc(now)}: set the clock right, or renew the certificate`;
  const late = chain.find(({ valid_to: to }) => now > Date.parse(to));
  if (code === "CERT_HAS_EXPIRED" && late !== undefined) {
    return `the certificate ${nameOf(late)} was valid until ${utc(late.valid_to)}, ${clock}`;
  }
  const early = chain.find(({ valid_from: from }) => now < Date.parse(from));
  if (code === "CERT_NOT_YET_VALID" && early !== undefined) {
    return `the certificate ${nameOf(early)} is valid from ${utc(early.valid_from)} on, ${clock}`;
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `the certificate ${nameOf(leaf)} is for ${leaf.subjectaltname ?? "no name"}, not for ${host}`;
  }
  const above = top === leaf ? "" : `, issued under ${nameOf(top)},`;
  return `the certificate ${nameOf(leaf)}${above} is not trusted (${code}): give the certificate of its issuer with --ca FILE`;
}

function chainOf(socket: TLSSocket): DetailedPeerCertificate[] {
  const chain: DetailedPeerCertificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // A root is its own issuer; nobody's chain is longer.
  while (next?.subject !== undefined && !chain.includes(next) && chain.length < 10) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

function nameOf({ subject, issuer }: PeerCertificate): string {
  return `"${distinguished(subject)}" issued by "${distinguished(issuer)}"`;
}

/** Such as `CN=assay.example, O=Example`. Texts of a stranger: the log flattens control characters. */
function distinguished(name: PeerCertificate["subject"]): string {
  return Object.entries(name)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(", ")
    .slice(0, 200);
}

function utc(time: string | number): string {
  return new Date(time).toISOString();
}
