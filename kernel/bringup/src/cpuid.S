// This CPU's APIC ID as of reset, in EDX (leaf 0xB EDX, else leaf 1 EBX 31:24; Intel SDM 2A).
    .macro cpuid_apic_id
    xor eax, eax
    cpuid
    cmp eax, 0xb
    jb 1f
    mov eax, 0xb
    xor ecx, ecx
    cpuid
    test ebx, ebx
    jnz 2f
1:
    mov eax, 1
    cpuid
    mov edx, ebx
    shr edx, 24
2:
    .endm
