/*
 * For LD_PRELOAD before ranks under LeakSanitizer: modules stay open. What Open MPI's parts keep is suppressed by
 * their names, and a module that is closed by the time of the check has none.
 */
int dlclose(void *module);

__attribute__((visibility("default"))) int dlclose(void *module)
{
    (void)module;
    return 0;
}
