/* Replaces bcryptprimitives.dll, which wine 8 lacks and from which Rust's std takes hash seeds. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG bytes);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T bytes)
{
    while (bytes) {
        ULONG chunk = bytes > 0x40000000 ? 0x40000000 : (ULONG)bytes;
        if (!SystemFunction036(buffer, chunk)) return FALSE;
        buffer += chunk;
        bytes -= chunk;
    }
    return TRUE;
}
