// A CPU wakes up here: real mode, at the start of a page below 1 MiB (CS = page << 8, IP = 0).
// `trampoline.rs` copies these bytes there; constants in braces are offsets from its start:
//
//   0 .. FIELDS          this code
//   FIELDS .. 0x1000     what it reads: descriptor tables, control registers (`Fields`)
//   0x1000 .. 0x3000     two pages that it writes: a stack and fault records (`Data`)
//
// Many CPUs run through it at once. They share the stack, and may: only exceptions push there, and
// nothing of that is ever read.
//
// Real mode -> protected mode -> long mode, by the book (Intel SDM 3A, 10.9.1 and 10.8.5). In each
// mode exceptions lead to its stubs, which record and park the CPU, instead of a triple fault.
// (Those of long mode are in `entry.S`: the kernel is mapped as soon as paging is on.)
//
// Registers that are kept to the end: EBX, where the page lies; ESI:EDI, when the CPU woke up.

    .section .rodata.trampoline, "a"
    .balign 16
    .global trampoline_start, trampoline_32, trampoline_64, trampoline_end
    .global trampoline_stubs_16, trampoline_stubs_32
trampoline_start:
    .code16
    cli
    cld
    xor ebx, ebx
    mov bx, cs
    mov ds, bx
    mov ss, bx
    mov sp, {STACK_TOP}
    lidt [{IDTR_16}]
    shl ebx, 4                          // physical address of the page
    rdtsc
    mov esi, edx
    mov edi, eax
    lgdt [{GDTR}]
    mov eax, cr0
    or eax, 1                           // PE
    mov cr0, eax
    // From here to the next LIDT an exception would be fatal; these few cannot have one.
    jmp fword ptr [{TO_32}]

    .code32
trampoline_32:
    mov ax, {DATA_SELECTOR}
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    lea esp, [ebx + {STACK_TOP}]
    lidt [ebx + {IDTR_32}]
    // Of CR4 what paging needs; the rest would fault here (PCIDE) or without CR0.WP (CET). CR0
    // last, with paging, and without the cache-disable of a CPU that has not run since power-on,
    // which INIT keeps (Intel SDM 3A, table 10-1).
    mov eax, [ebx + {CR4}]
    mov cr4, eax
    mov eax, [ebx + {CR3}]
    mov cr3, eax
    // Firmware can forbid NX on Intel's CPUs; then EFER.NXE faults (Intel SDM 4, table 2-2,
    // IA32_MISC_ENABLE, bit 34). The field is the register's number, or 0: nothing to do.
    mov ecx, [ebx + {MISC_ENABLE}]
    jecxz 1f
    rdmsr
    btr edx, 34 - 32
    jnc 1f
    wrmsr
1:
    mov ecx, 0xc0000080                 // EFER
    mov eax, [ebx + {EFER}]
    xor edx, edx
    wrmsr
    // With paging exceptions go by gates of 64 bits, also before the far jump.
    lidt [ebx + {IDTR_64}]
    mov eax, [ebx + {CR0}]
    mov cr0, eax
    jmp fword ptr [ebx + {TO_64}]

    .code64
trampoline_64:
    mov ebx, ebx                        // the upper half was undefined
    lea rsp, [rbx + {STACK_TOP}]
    mov rax, [rbx + {ENTRY}]
    jmp rax

// The stubs: one for each exception, STUB_SIZE bytes apart; each keeps its vector in EBP. The next
// free record is filled, its second half last: that makes it valid. ESI: where the page lies in DS.
    .macro record_and_park stage
    or ebp, {VALID} | \stage << 8
    cpuid_apic_id
    mov eax, 1
    lock xadd dword ptr [esi + {CURSOR}], eax
    cmp eax, {RECORDS}
    jae 3f
    shl eax, 4
    mov dword ptr [esi + eax + {RECORD_ID}], edx
    mov dword ptr [esi + eax + {RECORD_WHAT}], ebp
3:
    cli
    hlt
    jmp 3b
    .endm

    .macro stubs to
    .set vector, 0
    .rept 32
    .balign {STUB_SIZE}
    mov ebp, vector
    jmp \to
    .set vector, vector + 1
    .endr
    .endm

    .code16
    .balign {STUB_SIZE}
trampoline_stubs_16:
    stubs fault_16
fault_16:
    mov ax, cs
    mov ds, ax
    xor esi, esi
    record_and_park {REAL}

    .code32
    .balign {STUB_SIZE}
trampoline_stubs_32:
    stubs fault_32
fault_32:
    mov esi, ebx
    record_and_park {PROTECTED}
    .code64
    .purgem cpuid_apic_id
    // Code that ran into the fields would not assemble: there is no going backwards.
    .org trampoline_start + {FIELDS}
trampoline_end:
