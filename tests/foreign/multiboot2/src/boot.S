// Multiboot2 (its specification, 3.1 and 3.3): a header, and an entry in 32-bit protected mode with
// EBX = the information structure. To long mode, with the first 4 GiB identity-mapped.
    .section .multiboot2, "a"
    .balign 8
header:
    .long 0xe85250d6, 0, header_end - header
    .long -(0xe85250d6 + (header_end - header))
    .long 0, 8                              // the last tag
header_end:

    .section .text.start32, "ax"
    .code32
    .global start32
start32:
    cli
    mov esp, offset stack_top
    // Pages of 1 GiB (entry bits: present, writable, large: Intel SDM 3A, 4.5).
    mov dword ptr [level_4], offset level_3 + 3
    mov dword ptr [level_3], 0x83
    mov dword ptr [level_3 + 8], 0x83 + (1 << 30)
    mov dword ptr [level_3 + 16], 0x83 + (2 << 30)
    mov dword ptr [level_3 + 24], 0x83 + (3 << 30)
    mov eax, cr4
    or eax, 1 << 5                          // PAE
    mov cr4, eax
    mov eax, offset level_4
    mov cr3, eax
    mov ecx, 0xc0000080                     // EFER: long mode
    rdmsr
    or eax, 1 << 8
    wrmsr
    mov eax, cr0
    or eax, 1 << 31                         // paging
    mov cr0, eax
    lgdt [gdt_pointer]
    .byte 0xea                              // far jump: assemblers disagree on its Intel syntax
    .long start64
    .word 8
    .code64
start64:
    xor eax, eax
    mov ss, eax
    mov ds, eax
    mov es, eax
    mov edi, ebx
    call {main}
    ud2

    .global wake
wake:                                       // the handler of NMIs
    iretq

    .section .rodata.gdt, "a"
    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff             // null; 64-bit code, ring 0
gdt_pointer:
    .word . - gdt - 1
    .quad gdt

    .section .bss.start, "aw", @nobits
    .balign 4096
level_4: .skip 4096
level_3: .skip 4096
    .skip 65536
stack_top:
