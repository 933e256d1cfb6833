// An AP's first instructions in the kernel proper: still without a stack, since two CPUs must never
// share one. It asks its APIC who it is, finds its seat in the table, claims it, and takes what lies
// there. A CPU that finds no seat, or a taken one, parks.

    .section .text.ap_entry, "ax"
    .global ap_entry
ap_entry:
    mov rax, [rip + {CR3}]              // the kernel's own tables: the low page goes away
    mov cr3, rax

    // Its APIC ID: in xAPIC mode the upper 8 bits of register 0x20, in x2APIC mode (no page) all
    // of MSR 0x802, once bits 10 and 11 of IA32_APIC_BASE (MSR 0x1b) are set (Intel SDM 3A, 11.12).
    mov rdx, [rip + {MMIO}]
    test rdx, rdx
    jz 1f
    mov edi, [rdx + 0x20]
    shr edi, 24
    jmp 2f
1:
    mov ecx, 0x1b
    rdmsr
    or eax, 1 << 11                     // one after the other (figure 11-27)
    wrmsr
    or eax, 1 << 10
    wrmsr
    mov ecx, 0x802
    rdmsr
    mov edi, eax
2:
    mov rsi, [rip + {SEATS}]
    mov ecx, [rip + {SEAT_COUNT}]
3:
    test ecx, ecx
    jz 5f
    cmp [rsi + {SEAT_APIC_ID}], edi
    je 4f
    add rsi, {SEAT_SIZE}
    dec ecx
    jmp 3b
4:
    mov eax, {EXPECTED}
    mov edx, {ARRIVED}
    lock cmpxchg [rsi + {SEAT_STATE}], edx
    jne 6f
    mov rsp, [rsi + {SEAT_STACK}]
    mov rdi, rsi
    xor ebp, ebp                        // a backtrace ends here
    call {main}
    ud2
5:
    lock inc dword ptr [rip + {UNLISTED}]
6:
    cli
    hlt
    jmp 6b
