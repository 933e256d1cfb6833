// The first instructions. Xen's PVH boot protocol enters `pvh_start32` on the boot CPU in 32-bit
// protected mode without paging: EBX = physical address of the start_info structure, flat
// segments, interrupts off, no stack (Xen: docs/misc/pvh.pandoc).
//
// From here: check the machine, map the first GiB twice (identity, for the next instruction, and at
// KERNEL_BASE, where the kernel is linked), switch to long mode, leave for the high half.
//
// Until then the code runs KERNEL_BASE below where it is linked, so every address in it is written
// less `BASE`. (Jumps are relative.)
    .set BASE, {KERNEL_BASE}

// The note that names the entry: type 18 is XEN_ELFNOTE_PHYS32_ENTRY (Xen: public/elfnote.h).
    .section .note.pvh, "a", @note
    .balign 4
    .long 4                             // bytes in the name
    .long 8                             // bytes in the descriptor: a 64-bit ELF has 64-bit values
    .long 18
    .asciz "Xen"
    .quad pvh_start32 - BASE

    .section .text.pvh, "ax"
    .code32
    .global pvh_start32
pvh_start32:
    cli
    cld
    mov esp, offset pvh_stack32_top - BASE

    // A start_info? Its magic is "xEn3" with the top bit of the E set (Xen:
    // public/arch-x86/hvm/start_info.h).
    mov esi, offset pvh_msg_no_start_info - BASE
    test ebx, ebx
    jz pvh_fail32
    cmp dword ptr [ebx], {START_INFO_MAGIC}
    jne pvh_fail32
    mov ebp, ebx                        // CPUID overwrites EBX

    // CPUID exists if the ID flag (EFLAGS bit 21) can be toggled (Intel SDM 1, 3.4.3.3).
    mov esi, offset pvh_msg_no_long_mode - BASE
    pushfd
    pop eax
    mov ecx, eax
    xor eax, 1 << 21
    push eax
    popfd
    pushfd
    pop eax
    cmp eax, ecx
    je pvh_fail32

    // Leaf 0x80000001, EDX: bit 29 long mode, bit 20 execute disable (Intel SDM 2A, CPUID).
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb pvh_fail32
    mov eax, 0x80000001
    cpuid
    test edx, 1 << 29
    jz pvh_fail32
    mov esi, offset pvh_msg_no_nx - BASE
    test edx, 1 << 20
    jz pvh_fail32

    // Is the ramdisk over the image, as QEMU puts it if both do not fit? Offsets: start_info.rs.
    mov esi, offset pvh_msg_ramdisk - BASE
    cmp dword ptr [ebp + {NR_MODULES}], 0
    je 1f
    mov edi, [ebp + {MODLIST}]
    cmp dword ptr [edi + {MODULE_ADDRESS} + 4], 0   // above 4 GiB?
    jne 1f
    mov eax, [edi + {MODULE_ADDRESS}]
    cmp eax, offset kernel_end - BASE
    jae 1f
    add eax, [edi + {MODULE_SIZE}]
    cmp eax, offset kernel_start - BASE
    ja pvh_fail32
1:
    // Is there memory up to the end of the image? What is not there does not keep a value.
    mov esi, offset pvh_msg_too_little_memory - BASE
    mov dword ptr [kernel_end - BASE - 4], 0x55aa1234
    cmp dword ptr [kernel_end - BASE - 4], 0x55aa1234
    jne pvh_fail32
    mov dword ptr [kernel_end - BASE - 4], 0

    // Four tables, zeroed: level 4, one level 3 for each half, and one level 2 that both share
    // and that maps the first GiB in pages of 2 MiB. Entry bits: present 1, writable 2, page size
    // 0x80 (Intel SDM 3A, 4.5).
    mov edi, offset pvh_pml4 - BASE
    xor eax, eax
    mov ecx, 4 * 4096 / 4
    rep stosd
    mov dword ptr [pvh_pml4 - BASE], offset pvh_pdpt_low - BASE + 3
    mov dword ptr [pvh_pml4 - BASE + 511 * 8], offset pvh_pdpt_high - BASE + 3
    mov dword ptr [pvh_pdpt_low - BASE], offset pvh_pd - BASE + 3
    mov dword ptr [pvh_pdpt_high - BASE + 510 * 8], offset pvh_pd - BASE + 3
    mov edi, offset pvh_pd - BASE
    mov eax, 0x83
    mov ecx, 512
2:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    loop 2b

    // Long mode (Intel SDM 3A, 10.8.5.1): PAE (CR4 bit 5), page tables, LME (bit 8) and NXE (bit
    // 11) in EFER (MSR 0xC0000080), then paging (bit 31) and write protection (bit 16) in CR0.
    mov eax, cr4
    or eax, 1 << 5
    mov cr4, eax
    mov eax, offset pvh_pml4 - BASE
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, (1 << 8) | (1 << 11)
    wrmsr
    mov eax, cr0
    or eax, (1 << 31) | (1 << 16)
    mov cr0, eax
    lgdt [pvh_gdtr_low - BASE]
    // `ljmp 0x08:pvh_start64_low`, spelled in bytes: assemblers disagree on its Intel syntax.
    .byte 0xea
    .long pvh_start64_low - BASE
    .word 0x08

// Prints the message at ESI on the first serial port (8 data bits; the rate is what it is) and
// ends QEMU. The wait for each byte is bounded, so that a machine without a serial port still ends.
pvh_fail32:
    mov dx, 0x3f8 + 3
    mov al, 3
    out dx, al
3:
    lodsb
    test al, al
    jz 6f
    mov ah, al
    mov ecx, 100000
4:
    mov dx, 0x3f8 + 5
    in al, dx
    test al, 0x20                       // transmit holding register empty
    jnz 5f
    loop 4b
5:
    mov dx, 0x3f8
    mov al, ah
    out dx, al
    jmp 3b
6:
    mov eax, {EXIT_UNFIT}
    mov dx, {EXIT_PORT}
    out dx, eax
7:
    cli
    hlt
    jmp 7b

pvh_msg_no_start_info:
    .asciz "pvh: no start_info: enter this kernel through a PVH loader (QEMU: -kernel)\r\n"
pvh_msg_no_long_mode:
    .asciz "pvh: this CPU has no long mode (64 bit): use another CPU model (QEMU: -cpu max)\r\n"
pvh_msg_too_little_memory:
    .asciz "pvh: too little memory: the kernel's image does not fit (QEMU: -m)\r\n"
pvh_msg_ramdisk:
    .asciz "pvh: too little memory: the ramdisk lies over the kernel's image (QEMU: -m)\r\n"
pvh_msg_no_nx:
    .asciz "pvh: this CPU cannot mark pages as not executable: use another CPU model (QEMU: -cpu max)\r\n"

    .code64
pvh_start64_low:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov rax, offset pvh_start64
    jmp rax

    .balign 8
pvh_gdtr_low:
    .word pvh_gdt_end - pvh_gdt - 1
    .quad pvh_gdt - BASE

    .section .text.pvh_start64, "ax"
pvh_start64:
    lea rsp, [rip + pvh_stack64_top]
    mov edi, ebp                        // start_info; the upper half of RDI is cleared
    xor ebp, ebp                        // a backtrace ends here
    .cfi_startproc                      // in a debugger, too
    .cfi_undefined rip
    call {main}
    ud2
    .cfi_endproc

    // Used until `handover::enter` loads the same from where it stays mapped.
    .section .rodata.pvh_gdt, "a"
    .balign 8
pvh_gdt:
    .quad 0
    .quad {CODE_SEGMENT}
pvh_gdt_end:

    .section .bss.pvh, "aw", @nobits
    .balign 4096
pvh_pml4:      .skip 4096
pvh_pdpt_low:  .skip 4096
pvh_pdpt_high: .skip 4096
pvh_pd:        .skip 4096
    .skip 4096
pvh_stack32_top:
    .skip 65536                         // regions.rs copies lists of 6 KiB
pvh_stack64_top:
