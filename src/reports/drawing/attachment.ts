/** Embeds the data of a report in its file (PDF 32000-1, 7.11; ISO 19005-3, 6.8). */
import { deflateSync } from "node:zlib";
import { DATA_NAME } from "../check/format.ts";
import { asciiString, dateString, type PdfFile, reference, textString } from "./pdf-file.ts";

/** The place of the embedded data in the file, deflated. */
export interface DataExtent {
  offset: number;
  length: number;
}

/** Data as it is embedded. */
export interface PackedData {
  deflated: Uint8Array;
  /** Its length before. */
  bytes: number;
}

/** Before the drawing, so that the drawing need not share memory with data of megabytes. */
export function packData(json: Uint8Array): PackedData {
  return { deflated: deflateSync(json), bytes: json.length };
}

const ABOUT = "The data of this report, signed if the server has a key";

/**
 * Embeds the data as `report.json`, from which the pages are drawn.
 *
 * @param at time of the data, ms, so that the same data makes the same bytes
 * @returns the place of the data, and entries of the catalog
 */
export function attachData(
  file: PdfFile,
  { deflated, bytes }: PackedData,
  at: number,
): { extent: DataExtent; entries: string } {
  const { ref, offset } = file.stream(
    `/Type/EmbeddedFile/Subtype/application#2Fjson/Filter/FlateDecode/Params<</Size ${bytes}/ModDate${dateString(at)}>>`,
    deflated,
  );
  const specification = reference(
    file.add(
      `<</Type/Filespec/F${asciiString(DATA_NAME)}/UF${textString(DATA_NAME)}/EF<</F ${reference(ref)}/UF ${reference(ref)}>>/Desc${asciiString(ABOUT)}/AFRelationship/Data>>`,
    ),
  );
  return {
    extent: { offset, length: deflated.length },
    entries: `/Names<</EmbeddedFiles<</Names[${asciiString(DATA_NAME)} ${specification}]>>>>/AF[${specification}]`,
  };
}
