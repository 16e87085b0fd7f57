/* Where the fields of the structs of demist.h lie, a line each: built by the header that was kept (DM_TODAY 0) and by
 * that of today, which may only have more, at the ends of its structs. */
#include <demist/demist.h>

#include <stdio.h>

#define SIZE(T) printf("%s: %zu bytes, %zu aligned\n", #T, sizeof(T), _Alignof(T))
#define FIELD(T, f) printf("%s.%s: %zu bytes at %zu\n", #T, #f, sizeof(((T *)NULL)->f), offsetof(T, f))
#if DM_TODAY
#define LATER(T, f) FIELD(T, f)    /* is not in the header that was kept */
#define LAST(T, kept, now) ENDS(T, now)
#else
#define LATER(T, f) ((void)0)
#define LAST(T, kept, now) ENDS(T, kept)
#endif
/* A field that grew into padding would not be told from what an older application left there. */
#define ENDS(T, f) _Static_assert(offsetof(T, f) + sizeof(((T *)NULL)->f) == sizeof(T), #T " ends in padding")

int main(void)
{
    /* clang-format off */
    SIZE(dm_shape);
    FIELD(dm_shape, rank); FIELD(dm_shape, dim);
    SIZE(dm_err);
    FIELD(dm_err, code); FIELD(dm_err, msg);
    SIZE(dm_progress_info);
    FIELD(dm_progress_info, size); FIELD(dm_progress_info, what); FIELD(dm_progress_info, step);
    FIELD(dm_progress_info, steps); FIELD(dm_progress_info, per_step); FIELD(dm_progress_info, loss);
    LATER(dm_progress_info, percent);
    LAST(dm_progress_info, loss, percent);
    SIZE(dm_callbacks);
    FIELD(dm_callbacks, size); FIELD(dm_callbacks, user); FIELD(dm_callbacks, log); FIELD(dm_callbacks, progress);
    FIELD(dm_callbacks, cancelled); LATER(dm_callbacks, override_name);
    LAST(dm_callbacks, cancelled, override_name);
    SIZE(dm_model_options);
    FIELD(dm_model_options, size); FIELD(dm_model_options, n_overrides); FIELD(dm_model_options, overrides);
    FIELD(dm_model_options, device); FIELD(dm_model_options, precision); FIELD(dm_model_options, raw);
    FIELD(dm_model_options, profile); FIELD(dm_model_options, callbacks); LATER(dm_model_options, ranks);
    LAST(dm_model_options, callbacks, ranks);
    SIZE(dm_model_properties);
    FIELD(dm_model_properties, size); FIELD(dm_model_properties, classes); FIELD(dm_model_properties, shape);
    FIELD(dm_model_properties, label_width); FIELD(dm_model_properties, step);
    FIELD(dm_model_properties, parameters); FIELD(dm_model_properties, diffuses);
    FIELD(dm_model_properties, pixels); FIELD(dm_model_properties, low); FIELD(dm_model_properties, high);
    FIELD(dm_model_properties, name); FIELD(dm_model_properties, network); FIELD(dm_model_properties, objective);
    FIELD(dm_model_properties, schedule); FIELD(dm_model_properties, sampler); FIELD(dm_model_properties, device);
    FIELD(dm_model_properties, precision); FIELD(dm_model_properties, experiment);
    LATER(dm_model_properties, latents); LATER(dm_model_properties, class_names);
    LATER(dm_model_properties, takes_class); LATER(dm_model_properties, takes_none);
    LATER(dm_model_properties, conditions); LATER(dm_model_properties, n_conditions);
    LATER(dm_model_properties, examples);
    LAST(dm_model_properties, experiment, examples);
    SIZE(dm_trace_info);
    FIELD(dm_trace_info, size); FIELD(dm_trace_info, i); FIELD(dm_trace_info, n); FIELD(dm_trace_info, first);
    FIELD(dm_trace_info, n_images); FIELD(dm_trace_info, count); FIELD(dm_trace_info, example);
    FIELD(dm_trace_info, x); LATER(dm_trace_info, log_snr);
    LAST(dm_trace_info, x, log_snr);
    SIZE(dm_sample_options);
    FIELD(dm_sample_options, size); FIELD(dm_sample_options, n_overrides); FIELD(dm_sample_options, overrides);
    FIELD(dm_sample_options, seed); FIELD(dm_sample_options, count); FIELD(dm_sample_options, first_index);
    FIELD(dm_sample_options, labels); FIELD(dm_sample_options, noise); FIELD(dm_sample_options, noise_shape);
    FIELD(dm_sample_options, z); FIELD(dm_sample_options, draws); FIELD(dm_sample_options, trace);
    FIELD(dm_sample_options, trace_user); FIELD(dm_sample_options, callbacks); LATER(dm_sample_options, classes);
    LATER(dm_sample_options, n_classes); LATER(dm_sample_options, conditions);
    LATER(dm_sample_options, n_conditions); LATER(dm_sample_options, start); LATER(dm_sample_options, start_shape);
    LATER(dm_sample_options, strength); LATER(dm_sample_options, mask); LATER(dm_sample_options, mask_shape);
    LATER(dm_sample_options, jump_length); LATER(dm_sample_options, resamplings);
    LAST(dm_sample_options, callbacks, resamplings);
    SIZE(dm_images);
    FIELD(dm_images, size); FIELD(dm_images, steps); FIELD(dm_images, shape); FIELD(dm_images, x);
    FIELD(dm_images, pixels); FIELD(dm_images, evaluations); FIELD(dm_images, seconds); FIELD(dm_images, about);
    LAST(dm_images, about, about);
    SIZE(dm_predict_options);
    FIELD(dm_predict_options, size); FIELD(dm_predict_options, shape); FIELD(dm_predict_options, x);
    FIELD(dm_predict_options, t); FIELD(dm_predict_options, labels); FIELD(dm_predict_options, vectors);
    FIELD(dm_predict_options, vector_width); FIELD(dm_predict_options, callbacks);
    LATER(dm_predict_options, conditions); LATER(dm_predict_options, n_conditions);
    LAST(dm_predict_options, callbacks, n_conditions);
    SIZE(dm_train_options);
    FIELD(dm_train_options, size); FIELD(dm_train_options, n_overrides); FIELD(dm_train_options, overrides);
    FIELD(dm_train_options, resume); FIELD(dm_train_options, overwrite); FIELD(dm_train_options, profile);
    FIELD(dm_train_options, data_changed); FIELD(dm_train_options, argc); FIELD(dm_train_options, argv);
    FIELD(dm_train_options, callbacks); LATER(dm_train_options, ranks);
    LAST(dm_train_options, callbacks, ranks);
    SIZE(dm_training_state);
    FIELD(dm_training_state, size); FIELD(dm_training_state, step); FIELD(dm_training_state, steps);
    FIELD(dm_training_state, batch); FIELD(dm_training_state, micro_batch); FIELD(dm_training_state, parameters);
    FIELD(dm_training_state, saved); FIELD(dm_training_state, learning_rate); FIELD(dm_training_state, loss);
    FIELD(dm_training_state, grad_norm); FIELD(dm_training_state, images_per_s);
    FIELD(dm_training_state, best_loss); FIELD(dm_training_state, output);
    LAST(dm_training_state, output, output);
    SIZE(dm_check_options);
    FIELD(dm_check_options, size); FIELD(dm_check_options, n_overrides); FIELD(dm_check_options, overrides);
    FIELD(dm_check_options, explain); FIELD(dm_check_options, line); FIELD(dm_check_options, line_user);
    FIELD(dm_check_options, callbacks); LATER(dm_check_options, data);
    LAST(dm_check_options, callbacks, data);
    SIZE(dm_accuracy_options);
    FIELD(dm_accuracy_options, size); FIELD(dm_accuracy_options, n_overrides);
    FIELD(dm_accuracy_options, overrides); FIELD(dm_accuracy_options, raw); FIELD(dm_accuracy_options, callbacks);
    LATER(dm_accuracy_options, ranks);
    LAST(dm_accuracy_options, callbacks, ranks);
    SIZE(dm_accuracy);
    FIELD(dm_accuracy, size); FIELD(dm_accuracy, step); FIELD(dm_accuracy, count); FIELD(dm_accuracy, correct);
    FIELD(dm_accuracy, accuracy); FIELD(dm_accuracy, error); FIELD(dm_accuracy, loss);
    LAST(dm_accuracy, loss, loss);
    SIZE(dm_features_info);
    FIELD(dm_features_info, size); FIELD(dm_features_info, set); FIELD(dm_features_info, shape);
    FIELD(dm_features_info, x);
    LAST(dm_features_info, x, x);
    SIZE(dm_quality_options);
    FIELD(dm_quality_options, size); FIELD(dm_quality_options, n_overrides); FIELD(dm_quality_options, overrides);
    FIELD(dm_quality_options, raw); FIELD(dm_quality_options, features); FIELD(dm_quality_options, layer);
    FIELD(dm_quality_options, count); FIELD(dm_quality_options, images); FIELD(dm_quality_options, images_shape);
    FIELD(dm_quality_options, data); FIELD(dm_quality_options, n_data); FIELD(dm_quality_options, neighbours);
    FIELD(dm_quality_options, subsets); FIELD(dm_quality_options, subset_size);
    FIELD(dm_quality_options, features_done); FIELD(dm_quality_options, features_user);
    FIELD(dm_quality_options, kept); FIELD(dm_quality_options, callbacks); LATER(dm_quality_options, ranks);
    LATER(dm_quality_options, by_class);
    LAST(dm_quality_options, callbacks, by_class);
    SIZE(dm_quality_row);
    FIELD(dm_quality_row, count); FIELD(dm_quality_row, frechet); FIELD(dm_quality_row, frechet_means);
    FIELD(dm_quality_row, kid); FIELD(dm_quality_row, kid_error); FIELD(dm_quality_row, kid_deviation);
    FIELD(dm_quality_row, kid_size); FIELD(dm_quality_row, precision); FIELD(dm_quality_row, recall);
    SIZE(dm_quality);
    FIELD(dm_quality, size); FIELD(dm_quality, neighbours); FIELD(dm_quality, step);
    FIELD(dm_quality, features_step); FIELD(dm_quality, train); FIELD(dm_quality, features);
    FIELD(dm_quality, subsets); FIELD(dm_quality, samples); FIELD(dm_quality, floor); FIELD(dm_quality, ceiling);
    FIELD(dm_quality, seconds); FIELD(dm_quality, layer); FIELD(dm_quality, hash); FIELD(dm_quality, about);
    LATER(dm_quality, class_share); LATER(dm_quality, class_share_error); LATER(dm_quality, classes);
    LATER(dm_quality, by_class);
    LAST(dm_quality, about, by_class);
    SIZE(dm_nll_options);
    FIELD(dm_nll_options, size); FIELD(dm_nll_options, n_overrides); FIELD(dm_nll_options, overrides);
    FIELD(dm_nll_options, raw); FIELD(dm_nll_options, each); FIELD(dm_nll_options, steps);
    FIELD(dm_nll_options, count); FIELD(dm_nll_options, callbacks); LATER(dm_nll_options, ranks);
    LAST(dm_nll_options, callbacks, ranks);
    SIZE(dm_mean);
    FIELD(dm_mean, mean); FIELD(dm_mean, error);
    SIZE(dm_nll);
    FIELD(dm_nll, size); FIELD(dm_nll, steps); FIELD(dm_nll, step); FIELD(dm_nll, count); FIELD(dm_nll, total);
    FIELD(dm_nll, prior); FIELD(dm_nll, rate); FIELD(dm_nll, decoder); FIELD(dm_nll, t); FIELD(dm_nll, terms);
    FIELD(dm_nll, each); FIELD(dm_nll, learned); FIELD(dm_nll, seconds); FIELD(dm_nll, sampler);
    LATER(dm_nll, levels);
    LAST(dm_nll, sampler, levels);
    SIZE(dm_loss_options);
    FIELD(dm_loss_options, size); FIELD(dm_loss_options, n_overrides); FIELD(dm_loss_options, overrides);
    FIELD(dm_loss_options, raw); FIELD(dm_loss_options, all); FIELD(dm_loss_options, count);
    FIELD(dm_loss_options, callbacks); LATER(dm_loss_options, ranks);
    LAST(dm_loss_options, callbacks, ranks);
    SIZE(dm_loss_row);
    FIELD(dm_loss_row, name); FIELD(dm_loss_row, rate); FIELD(dm_loss_row, loss); FIELD(dm_loss_row, band);
    SIZE(dm_loss);
    FIELD(dm_loss, size); FIELD(dm_loss, bands); FIELD(dm_loss, rows); FIELD(dm_loss, step); FIELD(dm_loss, count);
    FIELD(dm_loss, from); FIELD(dm_loss, row);
    LAST(dm_loss, row, row);
    SIZE(dm_export_options);
    FIELD(dm_export_options, size); FIELD(dm_export_options, n_overrides); FIELD(dm_export_options, overrides);
    FIELD(dm_export_options, raw); FIELD(dm_export_options, overwrite); FIELD(dm_export_options, callbacks);
    LAST(dm_export_options, callbacks, callbacks);
    SIZE(dm_convert_options);
    FIELD(dm_convert_options, size); FIELD(dm_convert_options, n_overrides); FIELD(dm_convert_options, overrides);
    FIELD(dm_convert_options, height); FIELD(dm_convert_options, width); FIELD(dm_convert_options, by_part);
    FIELD(dm_convert_options, overwrite); FIELD(dm_convert_options, callbacks);
    LAST(dm_convert_options, callbacks, callbacks);
#if DM_TODAY
    SIZE(dm_condition_value);
    FIELD(dm_condition_value, name); FIELD(dm_condition_value, x); FIELD(dm_condition_value, shape);
    LAST(dm_condition_value, shape, shape);
    SIZE(dm_upscale_options);
    FIELD(dm_upscale_options, size); FIELD(dm_upscale_options, n_overrides); FIELD(dm_upscale_options, overrides);
    FIELD(dm_upscale_options, seed); FIELD(dm_upscale_options, images); FIELD(dm_upscale_options, shape);
    FIELD(dm_upscale_options, overlap); FIELD(dm_upscale_options, class_name); FIELD(dm_upscale_options, callbacks);
    LAST(dm_upscale_options, callbacks, callbacks);
    SIZE(dm_quality_class);
    FIELD(dm_quality_class, name); FIELD(dm_quality_class, count); FIELD(dm_quality_class, class_share);
    FIELD(dm_quality_class, test); FIELD(dm_quality_class, row);
    SIZE(dm_ode_nll_options);
    FIELD(dm_ode_nll_options, size); FIELD(dm_ode_nll_options, n_overrides); FIELD(dm_ode_nll_options, overrides);
    FIELD(dm_ode_nll_options, raw); FIELD(dm_ode_nll_options, each); FIELD(dm_ode_nll_options, steps);
    FIELD(dm_ode_nll_options, probes); FIELD(dm_ode_nll_options, count); FIELD(dm_ode_nll_options, callbacks);
    FIELD(dm_ode_nll_options, ranks);
    LAST(dm_ode_nll_options, ranks, ranks);
    SIZE(dm_ode_nll);
    FIELD(dm_ode_nll, size); FIELD(dm_ode_nll, steps); FIELD(dm_ode_nll, probes); FIELD(dm_ode_nll, levels);
    FIELD(dm_ode_nll, step); FIELD(dm_ode_nll, count); FIELD(dm_ode_nll, evaluations); FIELD(dm_ode_nll, total);
    FIELD(dm_ode_nll, least); FIELD(dm_ode_nll, each); FIELD(dm_ode_nll, seconds);
    LAST(dm_ode_nll, seconds, seconds);
#endif
    /* clang-format on */
    printf("DM_LOG_DEBUG %d, DM_LOSS_BANDS %d, DM_LOSS_ROWS %d, DM_ECANCELLED %d\n", DM_LOG_DEBUG, DM_LOSS_BANDS,
           DM_LOSS_ROWS, DM_ECANCELLED);
    return 0;
}
