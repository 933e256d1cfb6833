// An AP's first instructions in the kernel's address space, still without a stack. It asks its APIC
// for its ID, finds itself among the listed CPUs, claims its boot slot, and takes the stack. A CPU
// that finds no slot, or one that is not waiting for it, parks.
//
// From long mode on, until it has loaded an interrupt table of the kernel's, exceptions lead to the
// stubs below. Until it has its own stack, they push to a stack that is never read.
//
// From the trampoline: ESI:EDI, the time of waking up. Reads only `Shared` (`entry.rs`).

    .section .text.bringup_entry, "ax"
    .global bringup_entry, bringup_stubs
bringup_entry:
    lea r12, [rip + {SHARED}]
    // The stack and tables that exceptions need come first: the low pages go away with the next
    // CR3, and with them the trampoline's GDT.
    lea rsp, [r12 + {SCRATCH} + {SCRATCH_SIZE}]
    lgdt [rip + bringup_gdtr]
    lidt [rip + bringup_idtr]
    // The kernel's page tables, then all of its CR4. PCIDE can only be set while the PCID is 0
    // (Intel SDM 3A, 4.10.1), so the PCID follows.
    mov rax, [r12 + {CR3}]
    mov rcx, rax
    and rcx, ~0xfff
    mov cr3, rcx
    mov rcx, [r12 + {CR4}]
    mov cr4, rcx
    mov cr3, rax
    mov r14d, esi
    shl r14, 32
    mov eax, edi
    or r14, rax                         // R14: woken up
    rdtsc
    mov r15, rdx
    shl r15, 32
    or r15, rax                         // R15: in the kernel

    // Its APIC ID. In x2APIC mode it is all of MSR 0x802; in xAPIC mode the upper 8 bits of
    // register 0x20 (Intel SDM 3A, 11.12). The mode is in IA32_APIC_BASE (MSR 0x1b), bits 11 (on)
    // and 10 (x2APIC); it is changed here if it is not the kernel's: up by setting one bit after
    // the other, down only by way of off (figure 11-27).
    mov ecx, 0x1b
    rdmsr
    mov r8, [r12 + {MMIO}]              // 0: the kernel's mode is x2APIC
    test r8, r8
    jnz 3f
    or eax, 1 << 11
    wrmsr
    or eax, 1 << 10
    wrmsr
    mov ecx, 0x802
    rdmsr
    mov edi, eax
    jmp 5f
3:
    test eax, 1 << 10
    jz 4f
    and eax, ~(3 << 10)
    wrmsr
4:
    or eax, 1 << 11
    wrmsr
    // The APIC shows the lower 8 bits of a longer ID: another CPU's. Leaf 0xB has the whole.
    cpuid_apic_id
    mov edi, edx
    cmp edx, 0xff
    jae 7f
    mov edi, [r8 + 0x20]
    shr edi, 24
5:
    // Its index is its place among the APIC IDs.
    mov eax, edi
    mov rdi, [r12 + {IDS}]
    mov rcx, [r12 + {IDS_LEN}]
    mov rdx, rdi
    repne scasd
    lea rsi, [rdi - 4]
    mov edi, eax
    jne 7f
    sub rsi, rdx
    shr rsi, 2                          // RSI: the index
    imul rbx, rsi, {SLOT_SIZE}
    add rbx, [r12 + {SLOTS}]
    mov eax, {EXPECTED}
    mov edx, {ARRIVED}
    lock cmpxchg [rbx + {SLOT_STATE}], edx
    jne 7f
    mov rsp, [rbx + {SLOT_STACK}]
    mov [rbx + {SLOT_STAMPS}], r14
    mov [rbx + {SLOT_STAMPS} + 8], r15
    mov rdi, [r12 + {STARTER}]
    xor ebp, ebp                        // a backtrace ends here
    .cfi_startproc                      // in a debugger, too
    .cfi_undefined rip
    call [r12 + {MAIN}]
    ud2
    .cfi_endproc

// No boot slot waits for this CPU (EDI).
7:
    mov r11, [r12 + {BELL}]
    mov eax, {NOT_EXPECTED}
    xor r8d, r8d

// Records this CPU (EDI), its fault (EAX) and an address (R8), rings (R11, unless it is 0), parks.
bringup_record:
    mov rdx, [rip + {SHARED} + {RECORDS}]
    mov ecx, 1
    lock xadd [rdx], ecx
    cmp ecx, {RECORD_COUNT}
    jae 8f
    shl ecx, 4
    add rdx, {ENTRIES}
    mov [rdx + rcx], edi
    mov [rdx + rcx + 8], r8
    or eax, {VALID}
    mov [rdx + rcx + 4], eax
    test r11, r11
    jz 8f
    // The interrupt comes after the record (Intel SDM 3A, 11.12.3).
    mfence
    lfence
    mov eax, r11d
    shr r11, 32
    mov rdx, [rip + {SHARED} + {MMIO}]
    test rdx, rdx
    jz 6f
    mov [rdx + 0x310], r11d
    mov [rdx + 0x300], eax
    jmp 8f
6:
    mov edx, r11d
    mov ecx, 0x830
    wrmsr
8:
    cli
    hlt
    jmp 8b

// Stubs for exceptions until the kernel's own table is loaded: each pushes an error code where the
// CPU has not (Intel SDM 3A, 6.13).
    .balign 16
bringup_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    mov ebp, vector
    jmp bringup_fault
    .set vector, vector + 1
    .endr
    .balign 16
bringup_fault:
    // No ring: the APIC may not be in the right mode yet.
    xor r11d, r11d
    // On a shared stack, this one or the trampoline's, the address may be another CPU's.
    mov r10d, {LONG} << 8
    xor r8d, r8d
    mov rcx, cr3
    cmp rcx, [rip + {SHARED} + {LOW_CR3}]
    je 3f
    mov r10d, {ENTRY} << 8
    lea rax, [rip + {SHARED} + {SCRATCH}]
    mov rcx, rsp
    sub rcx, rax
    cmp rcx, {SCRATCH_SIZE}
    jb 3f
    mov r10d, {RUST} << 8
    mov r8, [rsp + 8]
3:
    cpuid_apic_id
    mov edi, edx
    mov eax, ebp
    or eax, r10d
    jmp bringup_record
    .purgem cpuid_apic_id

    .section .data.bringup_entry, "aw"
bringup_gdtr:
    .word {GDT_LIMIT}
    .quad {GDT}
bringup_idtr:
    .word {IDT_LIMIT}
    .quad {SHARED} + {IDT}
