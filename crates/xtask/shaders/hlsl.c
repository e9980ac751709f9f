// Compiles shaders with one of Direct3D's compilers, whose library lies beside this program:
//   hlsl fxc|dxc FILE ENTRY [FILE ENTRY]...
// Prints a line for each: the file, `ok` or `failed`, milliseconds, and in one line what the compiler says of a failure.
// The options are those of wgpu. Interfaces of the libraries are called by their places in the tables of functions, so
// that no header of the Windows SDK is needed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

typedef struct {
    void **functions;
} Interface;

typedef struct {
    const void *bytes;
    SIZE_T size;
    UINT encoding;
} Buffer;

typedef HRESULT(WINAPI *Create)(const GUID *, const GUID *, void **);
typedef HRESULT(WINAPI *CompileOld)(const void *, SIZE_T, const char *, const void *, void *, const char *, const char *, UINT, UINT,
                                    Interface **, Interface **);
typedef HRESULT(WINAPI *CompileNew)(Interface *, const Buffer *, const wchar_t **, UINT, void *, const GUID *, void **);
typedef HRESULT(WINAPI *Status)(Interface *, HRESULT *);
typedef HRESULT(WINAPI *Messages)(Interface *, Interface **);
typedef void *(WINAPI *Pointer)(Interface *);

static const GUID COMPILER = {0x73e22d93, 0xe6ce, 0x47f3, {0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0}};
static const GUID COMPILER_3 = {0x228b4687, 0x5a6a, 0x4730, {0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54}};
static const GUID RESULT = {0x58346cda, 0xdde7, 0x4497, {0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59}};
static const UINT UTF_8 = 65001;
// D3DCOMPILE_ENABLE_STRICTNESS
static const UINT STRICT_MODE = 1 << 11;

static void report(const char *file, int is_ok, DWORD milliseconds, const char *message) {
    printf("%s\t%s\t%lu\t", file, is_ok ? "ok" : "failed", (unsigned long)milliseconds);
    for (size_t at = 0; !is_ok && message && message[at] && at < 600; at++) {
        putchar(message[at] == '\n' || message[at] == '\r' || message[at] == '\t' ? ' ' : message[at]);
    }
    putchar('\n');
    fflush(stdout);
}

static char *read_file(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    if (!file) {
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    if (!text || fread(text, 1, *size, file) != *size) {
        return NULL;
    }
    text[*size] = 0;
    fclose(file);
    return text;
}

static void fxc(CompileOld compile, const char *file, const char *entry) {
    size_t size;
    char *text = read_file(file, &size);
    Interface *code = NULL, *messages = NULL;
    DWORD start = GetTickCount();
    HRESULT result = text ? compile(text, size, file, NULL, NULL, entry, "cs_5_1", STRICT_MODE, 0, &code, &messages) : E_FAIL;
    // Function 3 of a blob gives its content.
    const char *words = messages ? ((Pointer)messages->functions[3])(messages) : "the file cannot be read";
    report(file, SUCCEEDED(result), GetTickCount() - start, words);
    free(text);
}

static void dxc(Interface *compiler, const char *file, const char *entry) {
    size_t size;
    char *text = read_file(file, &size);
    wchar_t wide[256];
    mbstowcs(wide, entry, 255);
    const wchar_t *options[] = {L"-E", wide, L"-T", L"cs_6_2", L"-HV", L"2018", L"-no-warnings", L"-Ges", L"-enable-16bit-types", L"-Vd"};
    Buffer buffer = {text, size, UTF_8};
    Interface *outcome = NULL, *messages = NULL;
    DWORD start = GetTickCount();
    HRESULT result = E_FAIL;
    if (text) {
        // Function 3 of the compiler compiles. Functions 3 and 5 of its result give the status and the messages.
        result = ((CompileNew)compiler->functions[3])(compiler, &buffer, options, 10, NULL, &RESULT, (void **)&outcome);
    }
    if (outcome) {
        ((Status)outcome->functions[3])(outcome, &result);
        ((Messages)outcome->functions[5])(outcome, &messages);
    }
    const char *words = messages ? ((Pointer)messages->functions[3])(messages) : "the file cannot be read";
    report(file, SUCCEEDED(result), GetTickCount() - start, words);
    free(text);
}

int main(int count, char **words) {
    if (count < 2) {
        return 2;
    }
    int is_new = strcmp(words[1], "dxc") == 0;
    const char *name = is_new ? "dxcompiler.dll" : "d3dcompiler_47.dll";
    HMODULE library = LoadLibraryA(name);
    FARPROC function = library ? GetProcAddress(library, is_new ? "DxcCreateInstance" : "D3DCompile") : NULL;
    Interface *compiler = NULL;
    if (!function || (is_new && FAILED(((Create)function)(&COMPILER, &COMPILER_3, (void **)&compiler)))) {
        fprintf(stderr, "%s does not load (error %lu)\n", name, (unsigned long)GetLastError());
        return 1;
    }
    for (int at = 2; at + 1 < count; at += 2) {
        if (is_new) {
            dxc(compiler, words[at], words[at + 1]);
        } else {
            fxc((CompileOld)function, words[at], words[at + 1]);
        }
    }
    return 0;
}
