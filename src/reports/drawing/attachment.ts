/** Embeds the data of a report in its file (PDF 32000-1, 7.11; ISO 19005-3, 6.8). */
import { deflateSync } from "node:zlib";
import { PDFDict, type PDFDocument, PDFHexString, PDFName, PDFString } from "@cantoo/pdf-lib";
import { DATA_NAME } from "../check/format.ts";

/**
 * Embeds the data as `report.json`, from which the pages are drawn. Call it once, before the document is saved; what the
 * document's catalog has already stays.
 *
 * @param at time of the data, so that the same data makes the same bytes
 */
export function attachData(document: PDFDocument, json: Uint8Array, at: Date): void {
  const { context, catalog } = document;
  const stream = context.stream(deflateSync(json), {
    Type: "EmbeddedFile",
    Subtype: "application/json",
    Filter: "FlateDecode",
    Params: { Size: json.length, ModDate: PDFString.fromDate(at) },
  });
  const file = context.register(stream);
  const name = PDFString.of(DATA_NAME);
  const specification = context.register(
    context.obj({
      Type: "Filespec",
      F: name,
      UF: PDFHexString.fromText(DATA_NAME),
      EF: { F: file, UF: file },
      Desc: PDFString.of("The data of this report, signed if the server has a key"),
      AFRelationship: "Data",
    }),
  );
  const names = catalog.lookupMaybe(PDFName.of("Names"), PDFDict) ?? context.obj({});
  names.set(PDFName.of("EmbeddedFiles"), context.obj({ Names: [name, specification] }));
  catalog.set(PDFName.of("Names"), names);
  catalog.set(PDFName.of("AF"), context.obj([specification]));
}
