import { BlockList, isIP } from "node:net";
import { isLoopback } from "../host-port.ts";

/** A proxy and its address. */
export interface HttpProxy {
  /** Spoken to over TLS itself. */
  isSecure: boolean;
  host: string;
  port: number;
  /** Value of `Proxy-Authorization`, if the proxy's URL holds a user. */
  authorization: string | null;
}

type Environment = Record<string, string | undefined>;

/**
 * The proxy that the environment names for a URL, as curl reads it: `http_proxy`, `https_proxy` and
 * `no_proxy`, and the same in capitals, which count only without the lower-case name. Requests to this
 * machine's own addresses bypass the proxy, which would take them for its own.
 */
export function proxyFor(
  target: URL,
  env: Environment,
): { ok: true; proxy: HttpProxy | null } | { ok: false; message: string } {
  const name = target.protocol === "https:" ? "https_proxy" : "http_proxy";
  const upper = name.toUpperCase();
  // Under CGI, HTTP_PROXY holds a header that the caller of the web server has sent.
  const isForeign = name === "http_proxy" && env.REQUEST_METHOD !== undefined;
  const value = (env[name] ?? (isForeign ? undefined : env[upper]) ?? "").trim();
  const excepted = env.no_proxy ?? env.NO_PROXY ?? "";
  if (value === "" || isLoopback(hostOf(target)) || isExcepted(target, excepted)) {
    return { ok: true, proxy: null };
  }
  try {
    const url = new URL(/^[a-z0-9+.-]+:\/\//i.test(value) ? value : `http://${value}`);
    if (url.protocol === "http:" || url.protocol === "https:") {
      return { ok: true, proxy: toProxy(url) };
    }
  } catch {}
  // The value may hold a password.
  const message = `${upper} must be the address of an HTTP proxy, such as http://proxy.example:3128`;
  return { ok: false, message };
}

/** Name or address, without brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

export function portOf(url: URL): number {
  return Number(url.port || (url.protocol === "https:" ? 443 : 80));
}

function toProxy(url: URL): HttpProxy {
  const [user, password] = [url.username, url.password].map(decodeURIComponent);
  const login = Buffer.from(`${user}:${password}`).toString("base64");
  const authorization = user === "" && password === "" ? null : `Basic ${login}`;
  return {
    isSecure: url.protocol === "https:",
    host: hostOf(url),
    port: portOf(url),
    authorization,
  };
}

/** Entries of `NO_PROXY`: `*`, a name with all below it, an address, a network; with a port, if only that one. */
function isExcepted(target: URL, list: string): boolean {
  const [host, port] = [hostOf(target).replace(/\.$/, ""), portOf(target)];
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === "") return false;
      if (entry === "*") return true;
      const [address = "", prefix] = entry.split("/");
      if (prefix !== undefined) return isInNetwork(host, address.replace(/^\[|\]$/g, ""), prefix);
      if (isIP(entry) !== 0) return isSameAddress(host, entry);
      const [, bracketed, name, only] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
      if (only !== undefined && Number(only) !== port) return false;
      if (bracketed !== undefined) return isSameAddress(host, bracketed);
      const domain = (name ?? "").replace(/^\*?\.|\.$/g, "");
      return (
        domain !== "" && (host === domain || (isIP(host) === 0 && host.endsWith(`.${domain}`)))
      );
    });
}

function isSameAddress(host: string, address: string): boolean {
  return isInNetwork(host, address, isIP(address) === 4 ? "32" : "128");
}

function isInNetwork(host: string, address: string, prefix: string): boolean {
  const family = isIP(address);
  const isPrefix = /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
  if (family === 0 || isIP(host) !== family || !isPrefix) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), family === 4 ? "ipv4" : "ipv6");
  return list.check(host, family === 4 ? "ipv4" : "ipv6");
}
