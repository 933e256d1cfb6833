// An AP's first instructions in the kernel proper: still without a stack of its own, since two CPUs
// must never share one. It asks its APIC who it is, finds itself in the table of listed CPUs, claims the
// seat that is prepared for it, and takes what lies there. A CPU that finds no seat, or one that is not
// waiting for it, parks.
//
// Until it has loaded the kernel's own interrupt table, exceptions lead to the stubs below. Until it has
// its own stack, they push to a stack that nobody reads.
//
// From the trampoline: ESI:EDI, when the CPU woke up.

// What exceptions need, then the kernel's own page tables: the low pages go away, and with them the
// trampoline's GDT, of which the kernel has a copy.
    .macro leave_trampoline
    lea rsp, [rip + {SCRATCH} + {SCRATCH_SIZE}]
    lgdt [rip + {GDTR} + {POINTER_OFFSET}]
    lidt [rip + {IDTR} + {POINTER_OFFSET}]
    mov rax, [rip + {CR3}]
    mov cr3, rax
    .endm

    .section .text.ap_entry, "ax"
    .global ap_entry, ap_entry_faulty, ap_stubs
ap_entry:
    leave_trampoline
    mov r14d, esi
    shl r14, 32
    mov eax, edi
    or r14, rax                         // R14: woken up
    rdtsc
    mov r15, rdx
    shl r15, 32
    or r15, rax                         // R15: in the kernel

    // Its APIC ID. In x2APIC mode it is all of MSR 0x802; in xAPIC mode the upper 8 bits of register
    // 0x20 (Intel SDM 3A, 11.12). The mode is in IA32_APIC_BASE (MSR 0x1b), bits 11 (on) and 10 (x2APIC);
    // it is changed here if it is not the kernel's: up by setting one bit after the other, down only by
    // way of off (figure 11-27).
    mov ecx, 0x1b
    rdmsr
    mov r8, [rip + {MMIO}]              // 0: the kernel's mode is x2APIC
    test r8, r8
    jnz 1f
    or eax, 1 << 11
    wrmsr
    or eax, 1 << 10
    wrmsr
    mov ecx, 0x802
    rdmsr
    mov edi, eax
    jmp 3f
1:
    test eax, 1 << 10
    jz 2f
    and eax, ~(3 << 10)
    wrmsr
2:
    or eax, 1 << 11
    wrmsr
    // A CPU that has an ID of more than 8 bits, which no CPU of the table has in this mode, would show the
    // lower 8 as if they were all: somebody else's. Leaf 0xB EDX has the whole (Intel SDM 2A, CPUID).
    xor eax, eax
    cpuid
    cmp eax, 0xb
    jb 9f
    mov eax, 0xb
    xor ecx, ecx
    cpuid
    mov edi, edx
    cmp edx, 0xff
    mov eax, {UNLISTED}
    jae 7f
9:
    mov edi, [r8 + 0x20]
    shr edi, 24
3:
    // Binary search: entries are pairs of APIC ID and index, by ascending ID.
    mov rsi, [rip + {TABLE}]
    xor ecx, ecx
    mov edx, [rip + {TABLE_LEN}]
4:
    mov eax, {UNLISTED}
    cmp ecx, edx
    jae 7f
    lea eax, [rcx + rdx]
    shr eax, 1
    cmp [rsi + rax * 8], edi
    je 6f
    ja 5f
    lea ecx, [rax + 1]
    jmp 4b
5:
    mov edx, eax
    jmp 4b
6:
    mov eax, [rsi + rax * 8 + 4]
    imul rsi, rax, {SEAT_SIZE}
    add rsi, [rip + {SEATS}]
    mov eax, {EXPECTED}
    mov edx, {ARRIVED}
    lock cmpxchg [rsi + {SEAT_STATE}], edx
    mov eax, {LATE}
    jne 7f
    mov rsp, [rsi + {SEAT_STACK}]
    mov [rsi + {SEAT_STAMPS}], r14
    mov [rsi + {SEAT_STAMPS} + 8], r15
    mov rdi, rsi
    xor ebp, ebp                        // a backtrace ends here
    call {main}
    ud2

// Writes down who this is (EDI) and what about it (EAX), and parks.
7:
    xor ebp, ebp
    xor r8d, r8d
ap_record:
    mov ecx, 1
    lock xadd [rip + {CURSOR}], ecx
    cmp ecx, {RECORDS}
    jae 8f
    shl ecx, 4
    lea rdx, [rip + {CURSOR} + {ENTRIES}]
    mov [rdx + rcx], edi
    mov [rdx + rcx + 8], r8
    shl eax, 8
    or eax, ebp
    or eax, {VALID}
    mov [rdx + rcx + 4], eax
8:
    cli
    hlt
    jmp 8b

// The same way, but for an instruction that is none: shows what comes of it.
ap_entry_faulty:
    leave_trampoline
    ud2

// Stubs for exceptions until the kernel's own table is loaded: each pushes an error code where the CPU
// has not (as in `interrupts/entry.S`), so that the address is always the second word.
    .balign 16
ap_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    mov ebp, vector
    jmp ap_fault
    .set vector, vector + 1
    .endr
    .balign 16
ap_fault:
    // On the shared stack the address may be somebody else's.
    mov r10d, {ENTRY}
    xor r8d, r8d
    lea rax, [rip + {SCRATCH}]
    mov rcx, rsp
    sub rcx, rax
    cmp rcx, {SCRATCH_SIZE}
    jb 1f
    mov r10d, {RUST}
    mov r8, [rsp + 8]
1:
    xor eax, eax
    cpuid
    cmp eax, 0xb
    jb 2f
    mov eax, 0xb
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jnz 3f
2:
    mov eax, 1
    cpuid
    mov edx, ebx
    shr edx, 24
3:
    mov edi, edx
    mov eax, r10d
    jmp ap_record
