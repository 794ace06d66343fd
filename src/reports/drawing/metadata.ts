/** The metadata of a report: the document's information, and the same in XMP, as PDF/A-3b asks (ISO 19005-3, 6.6). */
import { deflateSync } from "node:zlib";
import { colourProfile } from "./colour-profile.ts";
import {
  asciiString,
  dateString,
  type PdfFile,
  type Ref,
  reference,
  textString,
} from "./pdf-file.ts";

/** Bound of the metadata that keeps the originals of transliterated texts. */
const MAX_ORIGINALS_LENGTH = 10_000;
const AUTHOR = "Assay";
const PRODUCER = "Assay";
const INTENT = "sRGB IEC61966-2.1";
/** What XML 1.0 cannot hold, besides lone surrogates. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are meant
const NOT_IN_XML = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g;
/** Marks the packet for programs that search files for it; the same in every file. */
const PACKET_ID = "W5M0MpCehiHzreSzNTczkc9d";

export interface Described {
  title: string;
  subject: string;
  release: string;
  /** ms */
  at: number;
}

/**
 * Writes the metadata, with the times of the data, so that the same data makes the same bytes.
 *
 * @returns the number of the information, and entries of the catalog
 */
export function addMetadata(
  file: PdfFile,
  described: Described,
  originals: ReadonlyMap<string, string>,
): { info: Ref; entries: string } {
  const { subject, release, at } = described;
  const title = plain(described.title);
  const creator = `Assay ${release}`;
  const names = [...originals].map(([original, text]) => `${text} = ${original}`).join("\n");
  const info = file.add(
    `<</Title${textString(title)}/Author${textString(AUTHOR)}/Subject${textString(subject)}/Creator${textString(creator)}/Producer${textString(PRODUCER)}/CreationDate${dateString(at)}/ModDate${dateString(at)}${
      names === "" ? "" : `/OriginalNames${textString(names.slice(0, MAX_ORIGINALS_LENGTH))}`
    }>>`,
  );
  const xmp = new TextEncoder().encode(xmpOf({ title, subject, creator, at }));
  // Readable as it is, for programs that know no PDF.
  const metadata = file.stream("/Type/Metadata/Subtype/XML", xmp).ref;
  const profile = file.deflated(deflatedProfile(), "/N 3");
  const intent = file.add(
    `<</Type/OutputIntent/S/GTS_PDFA1/OutputConditionIdentifier${asciiString(INTENT)}/DestOutputProfile ${reference(profile)}>>`,
  );
  return {
    info,
    entries: `/Metadata ${reference(metadata)}/OutputIntents[${reference(intent)}]/ViewerPreferences<</DisplayDocTitle true>>/Lang(en)`,
  };
}

let deflated: Uint8Array | null = null;

function deflatedProfile(): Uint8Array {
  deflated ??= deflateSync(colourProfile());
  return deflated;
}

function plain(text: string): string {
  return text.toWellFormed().replaceAll(NOT_IN_XML, "\ufffd");
}

function xmpOf({
  title,
  subject,
  creator,
  at,
}: {
  title: string;
  subject: string;
  creator: string;
  at: number;
}): string {
  const date = `${new Date(at).toISOString().slice(0, 19)}Z`;
  const alternatives = (text: string) =>
    `<rdf:Alt><rdf:li xml:lang="x-default">${escaped(text)}</rdf:li></rdf:Alt>`;
  const schema = (prefix: string, address: string, members: string) =>
    `<rdf:Description rdf:about="" xmlns:${prefix}="${address}">${members}</rdf:Description>\n`;
  return [
    `<?xpacket begin="\ufeff" id="${PACKET_ID}"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n`,
    schema(
      "dc",
      "http://purl.org/dc/elements/1.1/",
      `<dc:format>application/pdf</dc:format><dc:title>${alternatives(title)}</dc:title><dc:creator><rdf:Seq><rdf:li>${AUTHOR}</rdf:li></rdf:Seq></dc:creator><dc:description>${alternatives(subject)}</dc:description>`,
    ),
    schema(
      "xmp",
      "http://ns.adobe.com/xap/1.0/",
      `<xmp:CreatorTool>${escaped(creator)}</xmp:CreatorTool><xmp:CreateDate>${date}</xmp:CreateDate><xmp:ModifyDate>${date}</xmp:ModifyDate><xmp:MetadataDate>${date}</xmp:MetadataDate>`,
    ),
    schema("pdf", "http://ns.adobe.com/pdf/1.3/", `<pdf:Producer>${PRODUCER}</pdf:Producer>`),
    schema(
      "pdfaid",
      "http://www.aiim.org/pdfa/ns/id/",
      "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>",
    ),
    '</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>',
  ].join("");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
