/* fiber/switch_x86_64.S - switch.h for the System V ABI of x86-64.
 *
 * Preserved are rbx, rbp, r12 to r15, the control bits of mxcsr and the x87 control word. A place is the stack
 * pointer of this frame, from there up: mxcsr and control word (8 bytes), r15, r14, r13, r12, rbx, rbp, the return
 * address. No property note on purpose: with a shadow stack the return below would be an error, so the linker must
 * not believe that we can live with one. */
#if defined(__x86_64__) && !defined(RP_UCONTEXT)
        .text

        .globl  rp_switch
        .hidden rp_switch
        .type   rp_switch, @function
        .p2align 4
rp_switch:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)

        movq    %rsp, (%rdi)
        movq    %rsi, %rsp

        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   rp_switch, . - rp_switch

/* The frame that rp_switch will pop, under two words of zero: return address and frame pointer of nobody. */
        .globl  rp_switch_prepare
        .hidden rp_switch_prepare
        .type   rp_switch_prepare, @function
        .p2align 4
rp_switch_prepare:
        .cfi_startproc
        leaq    (%rdi,%rsi), %rax
        andq    $-16, %rax
        subq    $80, %rax
        stmxcsr (%rax)
        fnstcw  4(%rax)
        movq    $0, 8(%rax)
        movq    $0, 16(%rax)
        movq    %rdx, 24(%rax)          /* r13: entry */
        movq    %rcx, 32(%rax)          /* r12: arg   */
        movq    $0, 40(%rax)
        movq    $0, 48(%rax)
        leaq    first(%rip), %rdx
        movq    %rdx, 56(%rax)
        movq    $0, 64(%rax)
        movq    $0, 72(%rax)
        ret
        .cfi_endproc
        .size   rp_switch_prepare, . - rp_switch_prepare

/* The outermost frame: its caller is undefined, and there the backtraces stop. */
        .type   first, @function
        .p2align 4
first:
        .cfi_startproc
        .cfi_undefined %rip
        movq    %r12, %rdi
        call    *%r13
        ud2
        .cfi_endproc
        .size   first, . - first
#endif
        .section .note.GNU-stack, "", @progbits
