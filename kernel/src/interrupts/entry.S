// A stub per vector, 16 bytes apart, pushes the vector.

    .section .text.interrupt_entry, "ax"
    .balign 16
    .global interrupt_stubs
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    push vector
    jmp interrupt_entry
    .set vector, vector + 1
    .endr

    .balign 16
interrupt_entry:
    // Some exceptions have an error code, which interrupts with the same vector do not. The stack
    // shows which: the CPU aligns it to 16 bytes before it pushes five words, or six (Intel SDM 3A,
    // 6.14.2), and the vector is one more. A 0 takes a missing code's place.
    test spl, 8
    jnz 1f
    push [rsp]
    mov qword ptr [rsp + 8], 0
1:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    // Five words, the error code, the vector and 15 registers make 22: aligned as a call wants it.
    mov rdi, rsp
    call {dispatch}
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16                         // vector and error code
    iretq
