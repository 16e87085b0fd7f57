/* What shells read to complete words by `demist complete`. */
#ifndef DEMIST_CLI_SHELLS_H
#define DEMIST_CLI_SHELLS_H

extern const char shells_bash[], shells_zsh[], shells_fish[];

#endif
