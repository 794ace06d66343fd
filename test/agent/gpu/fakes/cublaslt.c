/* A stand-in for libcublasLt.so.12: the calls of one product, checked, which takes its time on the clock of the stand-in for
 * the driver and computes nothing. */
#include "fake.h"

typedef struct { int tag, kind; uint64_t rows, columns; int64_t stride; } Object;
enum { HANDLE, OPERATION, LAYOUT, PREFERENCE };
enum { OK = 0, NOT_STARTED = 1, INVALID = 7, NOT_SUPPORTED = 15 };
extern int fake_advance(double us);

#define BEGIN do { int code_ = rule_for(__func__); if (code_) return code_; } while (0)
static int make(Object **object, Object of) { *object = malloc(sizeof of); **object = of; return OK; }
static int is_a(Object *object, int kind) { return object && object->tag == 0x17 && object->kind == kind; }

OUT size_t cublasLtGetVersion(void) { return 120804; }
OUT const char *cublasLtGetStatusName(int code) { return code == 1 ? "CUBLAS_STATUS_NOT_INITIALIZED" : code == 15 ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_INVALID_VALUE"; }
OUT int cublasLtCreate(Object **handle) { BEGIN; if (fake_advance(0)) return NOT_STARTED; return make(handle, (Object){ 0x17, HANDLE, 0, 0, 0 }); }
OUT int cublasLtMatmulDescCreate(Object **o, int compute, int scale) { BEGIN; return compute == 68 && scale == 0 ? make(o, (Object){ 0x17, OPERATION, 0, 0, 0 }) : INVALID; }
OUT int cublasLtMatmulDescSetAttribute(Object *o, int attribute, const void *value, size_t size) { BEGIN; (void)value; return is_a(o, OPERATION) && (attribute == 3 || attribute == 4) && size == 4 ? OK : INVALID; }
OUT int cublasLtMatrixLayoutCreate(Object **o, int type, uint64_t rows, uint64_t columns, int64_t stride) { BEGIN; return type == 14 || type == 2 ? make(o, (Object){ 0x17, LAYOUT, rows, columns, stride }) : INVALID; }
OUT int cublasLtMatmulPreferenceCreate(Object **o) { BEGIN; return make(o, (Object){ 0x17, PREFERENCE, 0, 0, 0 }); }
OUT int cublasLtMatmulPreferenceSetAttribute(Object *o, int attribute, const void *value, size_t size) { BEGIN; return is_a(o, PREFERENCE) && attribute == 1 && size == 8 && *(const uint64_t *)value == 32 << 20 ? OK : INVALID; }
OUT int cublasLtMatmulAlgoGetHeuristic(Object *h, Object *o, Object *a, Object *b, Object *c, Object *d, Object *p, int wanted, unsigned char *result, int *found) {
  BEGIN;
  if (!is_a(h, HANDLE) || !is_a(o, OPERATION) || !is_a(a, LAYOUT) || !is_a(b, LAYOUT) || !is_a(c, LAYOUT) || !is_a(d, LAYOUT) || !is_a(p, PREFERENCE) || wanted != 1) return INVALID;
  if (is_set("FAKE_NO_KERNEL")) { *found = 0; return OK; }
  memset(result, 0, 96); memcpy(result, "ALGO", 4); *found = 1;
  return OK;
}
OUT int cublasLtMatmul(Object *h, Object *o, const float *alpha, uint64_t a, Object *la, uint64_t b, Object *lb, const float *beta, uint64_t c, Object *lc, uint64_t d, Object *ld, const unsigned char *algorithm, uint64_t workspace, size_t size, void *stream) {
  BEGIN;
  if (!is_a(h, HANDLE) || !is_a(o, OPERATION) || !is_a(la, LAYOUT) || !is_a(lb, LAYOUT) || !is_a(lc, LAYOUT) || !is_a(ld, LAYOUT)) return INVALID;
  if (*alpha != 1 || *beta != 0 || !a || !b || c != d || memcmp(algorithm, "ALGO", 4) || !workspace || size != 32 << 20 || !stream) return INVALID;
  if (!la->rows || la->rows != la->columns || la->rows != (uint64_t)la->stride) return INVALID;
  return fake_advance(200);
}
