/* A stand-in for libcuda.so.1 without a GPU. It checks the order of calls and whom handles belong to, as the driver does, and
 * keeps a clock for each device; kernels take a time and compute nothing. */
#include "fake.h"

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
       INVALID_CONTEXT = 201, INVALID_PTX = 218, INVALID_HANDLE = 400, NOT_FOUND = 500, PEER_ENABLED = 704 };

typedef struct { int tag, device; double us; uint64_t used; } Context;
typedef struct { int tag; Context *context; char *ptx; } Module;
typedef struct { int tag; Module *module; char name[64]; unsigned shared; } Function;
typedef struct { int tag; Context *context; double at; } Event;
typedef struct { int tag; Context *context; } Stream;
typedef struct { int tag; char *ptx; } Link;
typedef struct Block { uint64_t at, size; struct Block *next; } Block;

enum { CONTEXT = 0xC0DE, MODULE, FUNCTION, EVENT, STREAM, LINK };
static const uint64_t TOTAL = 80ull << 30;
static int is_started;
static Context contexts[MAX_GPUS], *current;
static Block *blocks;

#define BEGIN(needs_context) do { \
    int code_ = rule_for(__func__); \
    if (code_) return code_; \
    if (!is_started && strcmp(__func__, "cuInit")) return NOT_INITIALIZED; \
    if ((needs_context) && !current) return INVALID_CONTEXT; \
  } while (0)
#define DEVICE(d) do { if ((d) < 0 || (d) >= gpu_count()) return INVALID_DEVICE; } while (0)
#define OF(handle, kind) do { if (!(handle) || (handle)->tag != (kind) || (handle)->context != current) return INVALID_HANDLE; } while (0)

OUT int cuInit(unsigned flags) { BEGIN(0); if (flags) return INVALID_VALUE; if (!gpu_count()) return NO_DEVICE; is_started = 1; return OK; }
OUT int cuDriverGetVersion(int *version) { BEGIN(0); *version = 12080; return OK; }
OUT int cuDeviceGetCount(int *count) { BEGIN(0); *count = gpu_count(); return OK; }
OUT int cuDeviceGet(int *device, int i) { BEGIN(0); DEVICE(i); *device = i; return OK; }
OUT int cuDeviceGetName(char *name, int size, int d) {
  BEGIN(0); DEVICE(d);
  const char *given = getenv("FAKE_NAME");
  snprintf(name, size, "%s", given ? given : "NVIDIA A100-SXM4-80GB");
  return OK;
}
OUT int cuDeviceGetUuid_v2(unsigned char *uuid, int d) { BEGIN(0); DEVICE(d); memset(uuid, 0xab, 16); uuid[15] = d; return OK; }
OUT int cuDeviceTotalMem_v2(size_t *bytes, int d) { BEGIN(0); DEVICE(d); *bytes = TOTAL; return OK; }
OUT int cuDeviceGetAttribute(int *value, int attribute, int d) {
  BEGIN(0); DEVICE(d);
  *value = attribute == 75 ? 8 : attribute == 16 ? 108 : 0;
  return OK;
}
OUT int cuDeviceGetPCIBusId(char *text, int size, int d) { BEGIN(0); DEVICE(d); snprintf(text, size, "0000:%02x:00.0", d + 1); return OK; }
OUT int cuDeviceCanAccessPeer(int *can, int a, int b) { BEGIN(0); DEVICE(a); DEVICE(b); *can = a != b; return OK; }
OUT int cuDevicePrimaryCtxRetain(Context **context, int d) {
  BEGIN(0); DEVICE(d);
  contexts[d].tag = CONTEXT; contexts[d].device = d; *context = &contexts[d];
  return OK;
}
OUT int cuCtxSetCurrent(Context *context) { BEGIN(0); if (context && context->tag != CONTEXT) return INVALID_CONTEXT; current = context; return OK; }
OUT int cuCtxEnablePeerAccess(Context *peer, unsigned flags) {
  BEGIN(1);
  static char enabled[MAX_GPUS][MAX_GPUS];
  if (flags || peer == current || peer->tag != CONTEXT) return INVALID_VALUE;
  if (enabled[current->device][peer->device]++) return PEER_ENABLED;
  return OK;
}
OUT int cuMemGetInfo_v2(size_t *available, size_t *total) { BEGIN(1); *available = TOTAL - current->used; *total = TOTAL; return OK; }
OUT int cuMemAlloc_v2(uint64_t *at, size_t size) {
  BEGIN(1);
  static uint64_t next = 0x700000000000ull;
  if (!size) return INVALID_VALUE;
  if (current->used + size > TOTAL) return OUT_OF_MEMORY;
  Block *block = malloc(sizeof *block);
  *block = (Block){ next, size, blocks };
  blocks = block; current->used += size; *at = next; next += (size + 0x1fffff) & ~0x1fffffull;
  return OK;
}
OUT int cuMemFree_v2(uint64_t at) {
  BEGIN(1);
  for (Block **each = &blocks; *each; each = &(*each)->next) if ((*each)->at == at) {
    Block *block = *each;
    current->used -= block->size; *each = block->next; free(block);
    return OK;
  }
  return INVALID_VALUE;
}
OUT int cuMemHostAlloc(void **at, size_t size, unsigned flags) { BEGIN(1); *at = malloc(size); return *at && flags == 1 ? OK : OUT_OF_MEMORY; }
OUT int cuMemFreeHost(void *at) { BEGIN(1); free(at); return OK; }
static int copy(uint64_t at, size_t size, double gbs) {
  for (Block *b = blocks; b; b = b->next) if (at >= b->at && at + size <= b->at + b->size) { current->us += size / gbs / 1e3; return OK; }
  return INVALID_VALUE;
}
OUT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, Stream *s) { BEGIN(1); OF(s, STREAM); return from ? copy(to, size, 25) : INVALID_VALUE; }
OUT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, Stream *s) { BEGIN(1); OF(s, STREAM); return to ? copy(from, size, 22) : INVALID_VALUE; }
OUT int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) { BEGIN(1); memset(to, 0, size); return copy(from, size, 22); }
OUT int cuMemcpyPeerAsync(uint64_t to, Context *there, uint64_t from, Context *here, size_t size, Stream *s) {
  BEGIN(1); OF(s, STREAM);
  if (here != current || there->tag != CONTEXT || there == here) return INVALID_CONTEXT;
  int code = copy(to, size, 250);
  return code ? code : copy(from, size, 1e9);
}
static int module_of(Module **module, const char *ptx) {
  if (!strstr(ptx, ".entry") || strncmp(ptx, ".version 7.0\n.target sm_80\n", 27)) return INVALID_PTX;
  Module *made = calloc(1, sizeof *made);
  *made = (Module){ MODULE, current, strdup(ptx) };
  *module = made;
  return OK;
}
OUT int cuModuleLoadData(Module **module, const void *image) { BEGIN(1); return module_of(module, image); }
OUT int cuLinkCreate_v2(unsigned count, void *options, void *values, Link **link) { BEGIN(1); if (count || options || values) return INVALID_VALUE; *link = calloc(1, sizeof **link); (*link)->tag = LINK; return OK; }
OUT int cuLinkAddData_v2(Link *link, int type, void *data, size_t size, const char *name, unsigned count, void *o, void *v) {
  BEGIN(1);
  if (!link || link->tag != LINK || type != 1 || !name || count || o || v || ((char *)data)[size - 1]) return INVALID_VALUE;
  link->ptx = strdup(data);
  return OK;
}
OUT int cuLinkComplete(Link *link, void **code, size_t *size) { BEGIN(1); if (!link || link->tag != LINK || !link->ptx) return INVALID_VALUE; *code = link->ptx; *size = strlen(link->ptx); return OK; }
OUT int cuModuleGetFunction(Function **function, Module *module, const char *name) {
  BEGIN(1); OF(module, MODULE);
  char entry[96];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  if (!strstr(module->ptx, entry)) return NOT_FOUND;
  *function = calloc(1, sizeof **function);
  (*function)->tag = FUNCTION; (*function)->module = module;
  snprintf((*function)->name, 64, "%s", name);
  return OK;
}
OUT int cuFuncSetAttribute(Function *f, int attribute, int value) { BEGIN(1); if (f->tag != FUNCTION || attribute != 8 || value > 166912) return INVALID_VALUE; f->shared = value; return OK; }
OUT int cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream *s, void **values, void **extra) {
  BEGIN(1); OF(s, STREAM);
  if (!f || f->tag != FUNCTION || f->module->context != current) return INVALID_HANDLE;
  if (!gx || gy != 1 || gz != 1 || !bx || bx > 1024 || by != 1 || bz != 1 || !values || extra) return INVALID_VALUE;
  if (shared > 49152 && shared > f->shared) return INVALID_VALUE;
  if (!strcmp(f->name, "copy") && *(uint64_t *)values[2] % 16384) return INVALID_VALUE;
  static const struct { const char *name; double us; } times[] = { { "gemm", 500 }, { "copy", 5000 }, { "fma", 1000 }, { "empty", 2 } };
  for (int i = 0; i < 4; i++) if (!strncmp(f->name, times[i].name, strlen(times[i].name))) current->us += times[i].us;
  return OK;
}
OUT int cuStreamCreate(Stream **stream, unsigned flags) { BEGIN(1); if (flags != 1) return INVALID_VALUE; *stream = calloc(1, sizeof **stream); **stream = (Stream){ STREAM, current }; return OK; }
OUT int cuStreamSynchronize(Stream *s) { BEGIN(1); OF(s, STREAM); return OK; }
OUT int cuEventCreate(Event **event, unsigned flags) { BEGIN(1); if (flags) return INVALID_VALUE; *event = calloc(1, sizeof **event); **event = (Event){ EVENT, current, -1 }; return OK; }
OUT int cuEventRecord(Event *e, Stream *s) { BEGIN(1); OF(s, STREAM); OF(e, EVENT); e->at = current->us; return OK; }
OUT int cuEventSynchronize(Event *e) { BEGIN(1); if (e->tag != EVENT || e->at < 0) return INVALID_HANDLE; return OK; }
OUT int cuEventElapsedTime(float *ms, Event *from, Event *to) {
  BEGIN(1);
  if (from->tag != EVENT || to->tag != EVENT || from->at < 0 || to->at < 0) return INVALID_HANDLE;
  *ms = (to->at - from->at) / 1000;
  return OK;
}
OUT int cuGetErrorName(int code, const char **name) {
  static const struct { int code; const char *name; } names[] = {
    { 1, "CUDA_ERROR_INVALID_VALUE" }, { 2, "CUDA_ERROR_OUT_OF_MEMORY" }, { 34, "CUDA_ERROR_STUB_LIBRARY" },
    { 100, "CUDA_ERROR_NO_DEVICE" }, { 214, "CUDA_ERROR_ECC_UNCORRECTABLE" }, { 222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION" },
    { 719, "CUDA_ERROR_LAUNCH_FAILED" }, { 803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" }, { 999, "CUDA_ERROR_UNKNOWN" } };
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) if (names[i].code == code) { *name = names[i].name; return OK; }
  *name = NULL;
  return INVALID_VALUE;
}
/* For the stand-in of cuBLASLt, whose products take time on the same clock. */
OUT int fake_advance(double us) { if (!current) return INVALID_CONTEXT; current->us += us; return OK; }
