// A stub per vector, 16 bytes apart: pushes an error code where the CPU has not (Intel SDM 3A, table
// 6-1: vectors 8, 10-14, 17, 21; AMD64 APM 2, table 8-1: 29, 30), then the vector.

    .section .text.interrupt_entry, "ax"
    .balign 16
    .global interrupt_stubs
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    push vector
    jmp interrupt_entry
    .set vector, vector + 1
    .endr

    .balign 16
interrupt_entry:
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
    // The CPU aligns the stack to 16 bytes and pushes five words; with the error code, the vector
    // and 15 registers that makes 22: aligned as a call wants it.
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
