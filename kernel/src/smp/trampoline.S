// Where a CPU wakes up: real mode, at the start of a page below 1 MiB (CS = page << 8, IP = 0).
// `start.rs` copies these bytes to that page and puts a `Fields` behind them; the constants in braces
// are offsets within the page. The code only reads its page, so many CPUs run through it at once;
// nothing here needs a stack.
//
// Real mode -> protected mode -> long mode, by the book (Intel SDM 3A, 10.9.1 and 10.8.5).

    .section .rodata.trampoline, "a"
    .balign 16
    .global trampoline_start, trampoline_32, trampoline_64, trampoline_end
trampoline_start:
    .code16
    cli
    cld
    xor ebx, ebx
    mov bx, cs
    mov ds, bx
    shl ebx, 4                          // physical address of the page
    lgdt [{GDTR}]
    mov eax, cr0
    or eax, 1                           // PE
    mov cr0, eax
    jmp fword ptr [{TO_32}]

    .code32
trampoline_32:
    mov ax, {DATA_SELECTOR}
    mov ds, ax
    // The BSP's own settings; CR0 last, with paging (and without the cache-disable that INIT sets).
    mov eax, [ebx + {CR4}]
    mov cr4, eax
    mov eax, [ebx + {CR3}]
    mov cr3, eax
    mov ecx, 0xc0000080                 // EFER
    mov eax, [ebx + {EFER}]
    xor edx, edx
    wrmsr
    mov eax, [ebx + {CR0}]
    mov cr0, eax
    jmp fword ptr [ebx + {TO_64}]

    .code64
trampoline_64:
    mov eax, ebx                        // the upper half was undefined
    mov rax, [rax + {ENTRY}]
    jmp rax
trampoline_end:
